import { defineConfig } from "vitest/config";

// One fleet and one browser per file, one file after the other: the machine has only two cores.
export default defineConfig({
  test: {
    include: ["test/*.test.ts"],
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 90_000,
    bail: 0,
  },
});
