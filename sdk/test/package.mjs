// What is published can be imported and required. Part of `npm run package`, after the build.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

for (const path of ["", "/store", "/persist", "/tabs", "/react", "/server"]) {
  const name = `@elitescore/chat${path}`;
  const [imported, required] = [await import(name), require(name)];
  assert.ok(Object.keys(imported).length > 0, name);
  assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort(), name);
}
