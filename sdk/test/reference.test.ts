// The reference in docs/sdk is what typedoc generates from the sources.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const COMMITTED = "../docs/sdk";
const made = mkdtempSync(join(tmpdir(), "sdk-reference-"));

afterAll(() => rmSync(made, { recursive: true }));

test("the reference is up to date", { timeout: 180_000 }, () => {
  execFileSync("node_modules/.bin/typedoc", ["--out", made, "--logLevel", "Warn"], { stdio: "inherit" });
  const pages = (folder: string) => readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]);
  expect(Object.fromEntries(pages(COMMITTED)), "run `npm run reference`").toEqual(Object.fromEntries(pages(made)));
});
