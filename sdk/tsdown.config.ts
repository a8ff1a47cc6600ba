import { defineConfig } from "tsdown";

export default defineConfig({
  entry: { index: "src/index.ts", persist: "src/persist.ts", store: "src/store.ts", react: "src/react.tsx" },
  format: ["esm", "cjs"],
  dts: true,
  platform: "neutral",
  target: "es2022",
  fixedExtension: false,
});
