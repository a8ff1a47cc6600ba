// What is saved and confirmed to the server, and when: never more than the application is done with.
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Change, ChatClient, type Message, type Saved } from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME, PEER } from "./server";

const DIRECT = `conv_${ME}_${PEER}`;
const GROUP = "group_a";

let clock: FakeClock;
let server: FakeServer;
let client: ChatClient;
let saved: Saved;

async function save({ epoch = saved.epoch, positions, seen = saved.seen, gone = [] }: Change): Promise<void> {
  saved = { ...saved, epoch, seen, positions: { ...saved.positions, ...positions } };
  for (const id of gone) Reflect.deleteProperty(saved.positions, id);
}

/** With `handle` for messages, edits and changes; the application of an earlier start has crashed. */
async function start(handle: (event: object) => void | Promise<void> = () => {}): Promise<void> {
  const persist = { load: async () => structuredClone(saved), save };
  const WebSocket = server.constructorOfSockets;
  client = new ChatClient({ url: "ws://fake", getToken: () => "token", persist, WebSocket, clock, random: seeded(7) });
  client.on("message", handle);
  client.on("changes", handle);
  client.on("message_edited", handle);
  await client.start();
  await clock.advance(1_000);
}

function acknowledged(): (string | number)[] {
  return server.frames.filter(({ type }) => type === "ack").flatMap(({ conversations, eventIds }) => [
    ...Object.values(conversations as Record<string, number>),
    ...(eventIds as string[]),
  ]);
}

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer(clock, seeded(1), true);
  saved = { positions: {}, seen: [], outbox: [] };
});

afterEach(() => client.close());

test("a change moves the saved position as a message does", async () => {
  await start();
  server.store(DIRECT, PEER, "hello");
  await clock.advance(1_000);
  expect(saved.positions).toEqual({ [DIRECT]: { seq: 1, version: 1 } });
  server.edit(DIRECT, 1, "edited");
  await clock.advance(1_000);
  expect(saved.positions).toEqual({ [DIRECT]: { seq: 1, version: 2 } });
});

test("nothing later is confirmed while an earlier message is being handled", async () => {
  let done = () => {};
  await start((event) => ((event as Message).seq === 1 ? new Promise<void>((resolve) => (done = resolve)) : undefined));
  server.store(DIRECT, PEER, "slow");
  await clock.advance(1_000);
  server.store(DIRECT, PEER, "fast");
  await clock.advance(10_000);
  expect(saved.positions).toEqual({});
  expect(acknowledged()).toEqual([]);
  done();
  await clock.advance(1_000);
  expect(saved.positions).toEqual({ [DIRECT]: { seq: 2, version: 2 } });
  expect(acknowledged().at(-1)).toBe(2);
});

test("an event that is being handled is not saved as seen with an earlier one", async () => {
  server = new FakeServer(clock, seeded(1), false);
  const done: (() => void)[] = [];
  await start((event) => ("content" in event && "newContent" in event ? new Promise<void>((resolve) => void done.push(resolve)) : undefined));
  server.store(DIRECT, PEER, "hello");
  await clock.advance(1_000);
  for (const content of ["edited", "edited twice"]) {
    server.edit(DIRECT, 1, content);
    await clock.advance(1_000);
  }
  done[0]?.();
  await clock.advance(100);
  expect(saved.seen).toHaveLength(1);
});

test("what a handler failed at comes again after the next start, with all that followed", async () => {
  await start((event) => ((event as Message).content === "fails" ? Promise.reject(new Error("the disk is full")) : undefined));
  for (const content of ["fails", "follows"]) {
    server.store(DIRECT, PEER, content);
    server.store(GROUP, PEER, "elsewhere");
    await clock.advance(1_000);
  }
  expect(saved.positions).toEqual({ [GROUP]: { seq: 2, version: 2 } });
  expect(acknowledged()).toEqual([1, 2]);
  client.close();
  const again: unknown[] = [];
  await start((event) => void again.push((event as Message).content));
  expect(again).toEqual(["fails", "follows"]);
});

test("an event that a handler failed at comes again from a server without versions", async () => {
  server = new FakeServer(clock, seeded(1), false);
  server.store(DIRECT, PEER, "hello");
  const handled: unknown[] = [];
  let isFull = true;
  const handle = (event: object) => {
    if (!("newContent" in event)) return;
    if (isFull) return Promise.reject(new Error("the disk is full"));
    handled.push(event.newContent);
  };
  await start(handle);
  server.edit(DIRECT, 1, "edited");
  await clock.advance(1_000);
  isFull = false;
  server.closeAll(1006);
  await clock.advance(5_000);
  expect(handled).toEqual(["edited"]);
});

test("a position that is about to be saved is forgotten with its conversation", async () => {
  let done = () => {};
  await start((event) => ((event as Message).content === "slow" ? new Promise<void>((resolve) => (done = resolve)) : undefined));
  server.store(GROUP, PEER, "slow");
  await clock.advance(1_000);
  server.conversations.delete(GROUP);
  server.delivered.set(GROUP, 1);
  server.closeAll(1006);
  await clock.advance(5_000);
  expect(client.position(GROUP)).toBeUndefined();
  done();
  await clock.advance(1_000);
  expect(saved.positions).toEqual({});
  expect(acknowledged()).toEqual([]);
});

test("more conversations than one ack may name are confirmed with several", async () => {
  await start();
  for (let group = 0; group < 1_500; group++) server.store(`group_${group}`, PEER, "hello");
  await clock.advance(1_000);
  const named = server.frames.filter(({ type }) => type === "ack").map(({ conversations }) => Object.keys(conversations as object).length);
  expect(named).toEqual([1_000, 500]);
  expect(Object.keys(saved.positions)).toHaveLength(1_500);
});

test("after a start in another epoch nothing saved is held, though the numbers fit", async () => {
  server.epoch = "before";
  const restore = server.backup();
  await start();
  for (const content of ["lost 1", "lost 2"]) server.store(DIRECT, PEER, content);
  await clock.advance(1_000);
  client.close();
  expect(saved).toMatchObject({ epoch: "before", positions: { [DIRECT]: { seq: 2, version: 2 } } });
  restore();
  server.epoch = "after";
  for (const content of ["new 1", "new 2", "new 3"]) server.store(DIRECT, PEER, content);
  const told: unknown[] = [];
  await start((event) => void told.push((event as { stale?: boolean }).stale ?? (event as Message).content));
  expect(told).toEqual([true, "new 1", "new 2", "new 3"]);
  expect(saved).toMatchObject({ epoch: "after", positions: { [DIRECT]: { seq: 3 } } });
});

test("an open connection is told of another epoch and drops everything at once", async () => {
  server.epoch = "before";
  const restore = server.backup();
  const told: unknown[] = [];
  await start((event) => void told.push((event as { stale?: boolean }).stale ?? (event as Message).content));
  for (const id of [DIRECT, GROUP]) server.store(id, PEER, "lost");
  await clock.advance(1_000);
  restore();
  server.epoch = "after";
  server.announceEpoch();
  await clock.advance(1_000);
  expect(told).toEqual(["lost", "lost", true, true]);
  expect(saved).toMatchObject({ epoch: "after", positions: {} });
  server.closeAll(1006);
  await clock.advance(5_000);
  expect(told, "the epoch is known by then").toHaveLength(4);
});

test("a server that tells its epoch for the first time does not drop what was saved before", async () => {
  saved.positions = { [DIRECT]: { seq: 1, version: 1 } };
  server.store(DIRECT, PEER, "hello");
  server.delivered.set(DIRECT, 1);
  server.epoch = "first";
  const told: object[] = [];
  await start((event) => void told.push(event));
  expect(told).toEqual([]);
  expect(saved).toMatchObject({ epoch: "first", positions: { [DIRECT]: { seq: 1, version: 1 } } });
});
