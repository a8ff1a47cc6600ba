// Builds the package: one entry per part, as ES modules and CommonJS, with types.
import { defineConfig } from "tsdown";

export default defineConfig({
  entry: { index: "src/index.ts", persist: "src/persist.ts", store: "src/store.ts", tabs: "src/tabs.ts", react: "src/react.tsx", server: "src/server.ts" },
  format: ["esm", "cjs"],
  dts: true,
  platform: "neutral",
  target: "es2022",
  fixedExtension: false,
});
