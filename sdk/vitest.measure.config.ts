import { defineConfig } from "vitest/config";

// Tests that take minutes, and whose figures are in the documentation: `npm run soak`, `npm run compare`.
export default defineConfig({
  test: { include: ["test/fleet/{soak,compare}.ts"], execArgv: ["--expose-gc"], disableConsoleIntercept: true, hookTimeout: 90_000 },
});
