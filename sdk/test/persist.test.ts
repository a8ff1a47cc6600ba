import { IDBFactory } from "fake-indexeddb";
import { expect, test, vi } from "vitest";
import { ChatClient } from "../src/index";
import { indexedDb } from "../src/persist";
import type { Cached } from "../src/store";
import { FakeClock, seeded } from "./clock";
import { FakeServer, PEER } from "./server";

const item = (id: string, queuedAt: number) => ({ clientMessageId: id, to: { recipientId: "2" }, content: id, queuedAt });

test("what was saved is loaded, the outbox in its order", async () => {
  const factory = new IDBFactory();
  const first = indexedDb({ name: "1", indexedDB: factory });
  await first.save({ positions: { a: { seq: 5, version: 9 }, b: { seq: 1 } }, seen: ["e1"], put: item("z", 1) });
  await first.save({ put: item("a", 2) });
  await first.save({ put: item("m", 3), gone: ["b"] });
  await first.save({ remove: "m" });
  const saved = await indexedDb({ name: "1", indexedDB: factory }).load();
  expect(saved?.positions).toEqual({ a: { seq: 5, version: 9 } });
  expect(saved?.seen).toEqual(["e1"]);
  expect(saved?.outbox.map((one) => one.clientMessageId)).toEqual(["z", "a"]);
});

test("users of one browser are kept apart", async () => {
  const factory = new IDBFactory();
  await indexedDb({ name: "1", indexedDB: factory }).save({ seen: ["e1"] });
  expect((await indexedDb({ name: "2", indexedDB: factory }).load())?.seen).toEqual([]);
});

test.each([
  ["missing", undefined],
  ["forbidden", { open: () => { throw new DOMException("denied", "SecurityError"); } }],
])("the client works in memory when IndexedDB is %s", async (_, factory) => {
  const clock = new FakeClock();
  const server = new FakeServer(clock, seeded(1), true);
  const lines: string[] = [];
  const persist = indexedDb({ name: "1", indexedDB: factory as unknown as IDBFactory });
  const client = new ChatClient({
    url: "ws://fake",
    getToken: () => "token",
    persist,
    WebSocket: server.constructorOfSockets,
    clock,
    logger: (line) => lines.push(line),
  });
  await client.start();
  await clock.advance(1_000);
  const { sent } = client.send({ recipientId: PEER }, "hello");
  await clock.advance(1_000);
  expect((await sent).seq).toBe(1);
  expect(client.state.name).toBe("online");
  expect(lines).toContain("persistence cannot be read");
  client.close();
});

test("a database that does not open delays the first write only, and is tried again later", async () => {
  vi.useFakeTimers();
  try {
    const open = vi.fn(() => ({}));
    const persist = indexedDb({ name: "1", indexedDB: { open } as unknown as IDBFactory });
    const first = persist.save({ seen: [] }).catch((error: Error) => error.message);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await first).toBe("IndexedDB does not open");
    await expect(persist.save({ seen: [] })).rejects.toThrow("IndexedDB does not open");
    expect(open).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(60_000);
    persist.save({ seen: [] }).catch(() => {});
    await vi.advanceTimersByTimeAsync(0);
    expect(open).toHaveBeenCalledTimes(2);
  } finally {
    vi.useRealTimers();
  }
});

test("the cache keeps who has read, of the conversations in the list only", async () => {
  const { cache } = indexedDb({ name: "2", indexedDB: new IDBFactory() });
  const entry = { conversationId: "group_a" } as Cached["entries"][number];
  cache.changed(() => ({ myId: "1", entries: [entry], messages: {}, readBy: { group_a: { "2": 7 }, group_gone: { "2": 3 } } }));
  await expect.poll(() => cache.load(), { timeout: 10_000 }).toEqual({ myId: "1", entries: [entry], messages: {}, readBy: { group_a: { "2": 7 } } });
});
