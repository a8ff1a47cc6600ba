// The example in the README runs exactly as shown.
import { readFileSync } from "node:fs";
import ts from "typescript";
import { expect, test } from "vitest";
import * as sdk from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME } from "./server";

test("the README's chat chats", async () => {
  const example = /```ts\n([^]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";
  expect(example.split("\n").length).toBeLessThanOrEqual(24);
  const script = ts.transpile(example.replace(/^import .*$/gm, ""), { target: ts.ScriptTarget.ES2022 });
  const clock = new FakeClock();
  const server = new FakeServer(clock, seeded(1), true);
  const page = { status: { textContent: "" }, form: { onsubmit: (_: object) => {} }, input: { value: "" }, log: [] as string[] };
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
  expect(page.status.textContent).toBe("online");
  page.input.value = "hello";
  page.form.onsubmit({ preventDefault: () => {} });
  await clock.advance(1_000);
  expect(page.log).toEqual(["user1: hello\n"]);
  client?.close();
});
