// The example in the README runs exactly as shown.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import * as sdk from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME } from "./server";

test("the README's chat chats", async () => {
  const example = /```ts\n([^]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";
  expect(example.trimEnd().split("\n").length).toBeLessThanOrEqual(20);
  const script = ts.transpile(example.replace(/^import .*$/gm, ""), { target: ts.ScriptTarget.ES2022 });
  const clock = new FakeClock();
  const server = new FakeServer(clock, seeded(1), true);
  const page = { banner: { textContent: "" }, form: { onsubmit: (_: object) => {} }, input: { value: "" }, log: [] as string[] };
  let client: sdk.ChatClient | undefined;
  const globals = {
    ...page,
    log: { append: (line: string) => page.log.push(line) },
    userId: ME,
    fetch: async () => ({ text: async () => "token" }),
    alert: () => {},
    indexedDb: () => undefined,
    connect: (options: sdk.ClientOptions) =>
      (client = sdk.connect({ ...options, clock, random: seeded(2), WebSocket: server.constructorOfSockets })),
  };
  const AsyncFunction = (async () => {}).constructor as new (...parts: string[]) => (...values: unknown[]) => Promise<void>;
  const done = new AsyncFunction(...Object.keys(globals), script)(...Object.values(globals));
  await clock.advance(1_000);
  await done;
  expect(page.banner.textContent).toBe("online");
  page.input.value = "hello";
  page.form.onsubmit({ preventDefault: () => {} });
  await clock.advance(1_000);
  expect(page.log).toEqual(["user1: hello\n"]);
  client?.close();
});

/** What the application has: names that cannot be found, and parameters of functions that are passed to them. */
const OF_THE_APPLICATION = [2304, 2552, 18004, 7006, 7031];
/** What other examples of a page define or import. */
const DEFINED = `
declare const client: import("@elitescore/chat").ChatClient;
declare const ChatClient: typeof import("@elitescore/chat").ChatClient;
declare const ChatError: typeof import("@elitescore/chat").ChatError;
declare const createStore: typeof import("@elitescore/chat/store").createStore;
declare const indexedDb: typeof import("@elitescore/chat/persist").indexedDb;
type TokenReason = import("@elitescore/chat").TokenReason;
type Persistence = import("@elitescore/chat").Persistence;
type Saved = import("@elitescore/chat").Saved;
`;

test.each(["README.md", "../docs/sdk.md"])("the examples of %s fit the types", { timeout: 120_000 }, (page) => {
  const examples = [...readFileSync(page, "utf8").matchAll(/```tsx?\n([^]*?)```/g)].map(([, code = ""]) => code);
  expect(examples.length).toBeGreaterThan(0);
  // As modules beside the tests, which exist only here.
  const files = new Map(examples.map((code, place) => [join(import.meta.dirname, `example-${place}.tsx`), `${code}\nexport {};`]));
  files.set(join(import.meta.dirname, "defined.d.ts"), DEFINED);
  const { config } = ts.readConfigFile("tsconfig.json", (path) => ts.sys.readFile(path));
  const paths = { "@elitescore/chat": ["./src/index.ts"], "@elitescore/chat/*": ["./src/*"] };
  const { options } = ts.parseJsonConfigFileContent({ ...config, compilerOptions: { ...config.compilerOptions, paths } }, ts.sys, ".");
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const code = files.get(path);
    return code === undefined ? getSourceFile(path, target, ...rest) : ts.createSourceFile(path, code, target);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  const wrong = ts.getPreEmitDiagnostics(program).filter(({ code }) => !OF_THE_APPLICATION.includes(code));
  expect(wrong.map(({ file, messageText }) => [file?.text.split("\n", 3), ts.flattenDiagnosticMessageText(messageText, "\n")])).toEqual([]);
});
