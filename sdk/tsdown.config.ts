import { defineConfig } from "tsdown";

export default defineConfig({
  entry: { index: "src/index.ts", persist: "src/persist.ts", store: "src/store.ts", tabs: "src/tabs.ts", react: "src/react.tsx" },
  format: ["esm", "cjs"],
  dts: true,
  platform: "neutral",
  target: "es2022",
  fixedExtension: false,
});
