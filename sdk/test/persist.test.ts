import { IDBFactory } from "fake-indexeddb";
import { expect, test, vi } from "vitest";
import { ChatClient } from "../src/index";
import { indexedDb } from "../src/persist";
import type { Cached } from "../src/store";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME, PEER } from "./server";

const item = (id: string, queuedAt: number) => ({ clientMessageId: id, to: { recipientId: "2" }, content: id, queuedAt });

test("saved state is loaded, and the outbox keeps its order", async () => {
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

test.each([4, undefined])("saved positions ahead of a restored server are discarded, the outbox is sent (version: %s)", async (version) => {
  const clock = new FakeClock();
  const server = new FakeServer(clock, seeded(1), true);
  const id = `conv_${ME}_${PEER}`;
  const factory = new IDBFactory();
  const open = async () => {
    const persist = indexedDb({ name: "1", indexedDB: factory });
    const client = new ChatClient({ url: "ws://fake", getToken: () => "token", persist, WebSocket: server.constructorOfSockets, clock });
    const told: string[] = [];
    client.on("message", ({ content }) => void told.push(content));
    client.on("changes", async ({ stale, conversationId }) => {
      told.push(stale ? "stale" : "changes");
      for (const { content } of (await client.history(conversationId)).messages) told.push(`loaded ${content}`);
    });
    await client.start();
    const settled = () => expect.poll(() => clock.advance(1_000).then(() => client.state.name === "online" && client.outbox.length)).toBe(0);
    return { client, persist, told, settled };
  };
  for (const content of ["kept 1", "kept 2"]) server.store(id, PEER, content);
  const first = await open();
  await first.settled();
  const restore = server.backup();
  for (const content of ["lost 1", "lost 2"]) server.store(id, PEER, content);
  await expect.poll(() => clock.advance(1_000).then(() => first.persist.load())).toMatchObject({ positions: { [id]: { seq: 4, version: 4 } } });
  first.client.close();
  await first.persist.save({ positions: { [id]: { seq: 4, version } } });
  await first.persist.save({ put: { clientMessageId: "mine", to: { conversationId: id }, content: "mine", queuedAt: clock.now() } });

  restore();
  const second = await open();
  await second.settled();
  server.store(id, PEER, "new");
  await clock.advance(1_000);
  expect(second.told).toEqual(["stale", "mine", "loaded kept 1", "loaded kept 2", "loaded mine", "new"]);
  expect(second.client.position(id)?.seq).toBe(4);
  await expect.poll(() => clock.advance(1_000).then(() => second.persist.load())).toMatchObject({ positions: { [id]: { seq: 4 } }, outbox: [] });
  second.client.close();
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
