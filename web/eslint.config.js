import accessibility from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "node_modules", "public"] },
  ...tseslint.configs.strict,
  hooks.configs.flat.recommended,
  accessibility.flatConfigs.recommended,
  {
    files: ["src/**/*.ts", "src/**/*.tsx", "test/**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-console": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { arguments: false, attributes: false } }],
    },
  },
  {
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_", argsIgnorePattern: "^_" }],
      "@typescript-eslint/no-unused-expressions": "off",
      "@typescript-eslint/no-dynamic-delete": "off",
      "@typescript-eslint/no-invalid-void-type": "off",
      // The dialogs and the composer of a chat: focus belongs there, and moves there after an action of the user.
      "jsx-a11y/no-autofocus": "off",
      // Where a list is placed can be known only after its layout.
      "react-hooks/set-state-in-effect": "off",
      "jsx-a11y/no-noninteractive-tabindex": ["error", { tags: ["article"], roles: ["tabpanel"] }],
    },
  },
);
