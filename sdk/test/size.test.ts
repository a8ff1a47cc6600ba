// The size that each module adds to an application: minified, gzip, without what it shares with `.`.
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";

test.each([
  ["index", 9_000],
  ["persist", 3_000],
  ["store", 5_000],
  ["tabs", 2_000],
  ["react", 2_000],
  ["server", 3_000],
])("%s has at most %i bytes", { timeout: 60_000 }, async (name, most) => {
  const output = await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      // Vite's own minifier leaves white space in libraries, which the application's bundler removes.
      minify: false,
      target: "es2022",
      lib: { entry: `src/${name}.${name === "react" ? "tsx" : "ts"}`, formats: ["es"] },
      rolldownOptions: { external: name === "index" ? [] : [/^react/, /\/core\//], output: { minify: true } },
    },
  });
  const [{ output: chunks }] = output as { output: { type: string; code: string }[] }[] as [
    { output: { type: string; code: string }[] },
  ];
  const bytes = chunks.reduce((sum, chunk) => sum + gzipSync(chunk.code, { level: 9 }).length, 0);
  console.info(`${name}: ${bytes} bytes`);
  expect(bytes).toBeLessThanOrEqual(most);
});

test("nothing touches the browser when it is imported", { timeout: 60_000 }, async () => {
  expect(globalThis.window).toBeUndefined();
  await expect(import("../src/index")).resolves.toHaveProperty("connect");
  await expect(import("../src/persist")).resolves.toHaveProperty("indexedDb");
  await expect(import("../src/store")).resolves.toHaveProperty("createStore");
  await expect(import("../src/tabs")).resolves.toHaveProperty("shareSocket");
  await expect(import("../src/react")).resolves.toHaveProperty("useInbox");
  await expect(import("../src/server")).resolves.toHaveProperty("serverApi");
});
