import { defineConfig } from "vitest/config";

// What takes minutes and whose figures are in the documents: `npm run soak`, `npm run compare`.
export default defineConfig({
  test: { include: ["test/fleet/{soak,compare}.ts"], execArgv: ["--expose-gc"], disableConsoleIntercept: true, hookTimeout: 90_000 },
});
