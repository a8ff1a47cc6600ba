import { defineConfig } from "vitest/config";

// Against real servers: `cargo xtask test sdk` starts the stores and passes the programs' folder.
export default defineConfig({
  test: { include: ["test/fleet/*.test.ts"], fileParallelism: false, testTimeout: 90_000, hookTimeout: 90_000 },
});
