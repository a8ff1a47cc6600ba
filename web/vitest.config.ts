import { defineConfig } from "vitest/config";

// One fleet and one browser per file, one file after the other: two cores are all there is.
export default defineConfig({
  test: {
    include: ["test/*.test.ts"],
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 90_000,
    bail: 0,
  },
});
