// What the store shows, against the server's state.
import { afterEach, beforeEach, expect, test } from "vitest";
import { ChatClient } from "../src/index";
import { type Cached, type ChatMessage, ChatStore, type StoreCache } from "../src/store";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME, PEER } from "./server";

const DIRECT = `conv_${ME}_${PEER}`;
const GROUP = "group_a";

let clock: FakeClock;
let server: FakeServer;
let client: ChatClient;
let store: ChatStore;

function start(cache?: StoreCache, maxMessages?: number): void {
  const { constructorOfSockets: WebSocket } = server;
  const random = seeded(7);
  client = new ChatClient({ url: "ws://fake", getToken: () => "token", WebSocket, clock, random });
  store = new ChatStore(client, { clock, pageSize: 10, maxMessages, cache });
  void client.start();
}

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer(clock, seeded(1), true);
  server.faults = { ...server.faults, delay: 20 };
  for (let seq = 1; seq <= 30; seq++) server.store(DIRECT, PEER, `d${seq}`);
  for (let seq = 1; seq <= 3; seq++) server.store(GROUP, "3", `g${seq}`);
  start();
});

afterEach(async () => {
  store.close();
  client.close();
  // What the server has sent is still in flight.
  await clock.advance(100);
  expect(clock.pending, "timers left after close").toBeLessThanOrEqual(1);
});

const inbox = () => store.inbox.getSnapshot();
const entry = (id: string) => inbox().entries.find((one) => one.conversationId === id);
const list = (id = DIRECT) => store.messages(id).getSnapshot();
const contents = (id = DIRECT) => list(id).messages.map(({ content }) => content);
const message = (content: string) => list().messages.find((one) => one.content === content) as ChatMessage;

async function open(id = DIRECT): Promise<() => number> {
  let changes = 0;
  store.messages(id).subscribe(() => changes++);
  await clock.advance(500);
  return () => changes;
}

test("a message written before the client knows its user goes to the other person", async () => {
  expect(client.me).toBeUndefined();
  store.send(DIRECT, "from a tunnel");
  await clock.advance(500);
  expect(client.outbox).toEqual([]);
  await open();
  expect(message("from a tunnel")).toMatchObject({ senderId: ME, conversationId: DIRECT });
});

test("the inbox shows what the server has and what arrives since", async () => {
  expect(inbox().status).toBe("loading");
  await clock.advance(500);
  expect(inbox()).toMatchObject({ status: "ready", totalUnread: 33, hasMore: false });
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(inbox().entries.map((one) => one.conversationId)).toEqual([DIRECT, GROUP]);
  expect(entry(DIRECT)).toMatchObject({ unreadCount: 31, lastSeq: 31, lastMessage: { content: "news" } });
  expect(inbox().totalUnread).toBe(34);
  server.store(GROUP, ME, "mine");
  await clock.advance(100);
  expect(entry(GROUP)).toMatchObject({ unreadCount: 3, lastMessage: { content: "mine" } });
  expect(inbox().entries[0]?.conversationId).toBe(GROUP);
});

test("a new conversation appears, and a deleted one disappears", async () => {
  await clock.advance(500);
  server.store("group_b", "3", "first");
  await clock.advance(5_000);
  expect(entry("group_b")).toMatchObject({ unreadCount: 1 });
  await open("group_b");
  server.publish({ type: "member_removed", groupId: "group_b", userId: ME, username: "me", removedBy: "3" });
  await clock.advance(100);
  expect(entry("group_b")).toBeUndefined();
  expect(list("group_b").status).toBe("gone");
  expect(inbox().totalUnread).toBe(33);
});

test("more conversations are loaded when they are asked for", async () => {
  for (let group = 0; group < 25; group++) server.store(`group_${group}`, "3", "first");
  await clock.advance(5_000);
  const shown = () => [inbox().entries.length, inbox().hasMore, inbox().totalUnread];
  expect(shown()).toEqual([10, true, 58]);
  for (const expected of [20, 27, 27]) {
    void store.loadMoreConversations();
    await clock.advance(200);
    expect(shown()).toEqual([expected, expected < 27, 58]);
  }
});

test("a snapshot stays the same until something changes", async () => {
  await open();
  await clock.advance(3_000);
  const [messages, conversations] = [list(), inbox()];
  await clock.advance(5_000);
  expect(list()).toBe(messages);
  expect(inbox()).toBe(conversations);
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(list().messages.slice(0, -1)).toEqual(messages.messages);
  expect(list().messages[0], "rows that did not change").toBe(messages.messages[0]);
});

test("pages go back to the first message and around any", async () => {
  await open();
  expect(contents()).toEqual(Array.from({ length: 10 }, (_, place) => `d${place + 21}`));
  void store.loadBefore(DIRECT);
  expect(list().isLoadingBefore).toBe(true);
  await clock.advance(100);
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(list()).toMatchObject({ hasBefore: false, hasAfter: false });
  expect(contents()).toHaveLength(30);
  const at = list().messages[4] as ChatMessage;
  void store.loadLatest(DIRECT);
  await clock.advance(100);
  void store.loadAround(DIRECT, { messageId: at.messageId });
  await clock.advance(100);
  expect(contents()).toContain("d5");
  expect(list()).toMatchObject({ hasBefore: false, hasAfter: true });
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(contents()).not.toContain("news");
  for (let page = 0; page < 3; page++) {
    void store.loadAfter(DIRECT);
    await clock.advance(100);
  }
  expect(list().hasAfter).toBe(false);
  server.store(DIRECT, PEER, "more");
  await clock.advance(100);
  expect(list().messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 32 }, (_, place) => place + 1));
});

function startWith(maxMessages: number): void {
  store.close();
  client.close();
  start(undefined, maxMessages);
}

const seqs = (id = DIRECT) => list(id).messages.map(({ seq }) => seq);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, place) => from + place);

test("a growing conversation keeps a bounded number of messages", async () => {
  startWith(20);
  await open();
  for (let seq = 31; seq <= 200; seq++) {
    server.store(DIRECT, PEER, `d${seq}`);
    await clock.advance(30);
    expect(seqs().length).toBeLessThan(30);
    expect(seqs()).toEqual(range(seq - seqs().length + 1, seq));
  }
  expect(list()).toMatchObject({ hasBefore: true, hasAfter: false });
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(seqs()).toEqual(range((seqs()[0] as number), (seqs()[0] as number) + seqs().length - 1));
});

test("paging drops the other end of the list, and can return to it", async () => {
  startWith(15);
  await open();
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(seqs()).toEqual(range(11, 30));
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(seqs()).toEqual(range(1, 15));
  expect(list()).toMatchObject({ hasBefore: false, hasAfter: true });
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(contents()).not.toContain("news");
  for (let page = 0; page < 2; page++) {
    void store.loadAfter(DIRECT);
    await clock.advance(100);
  }
  expect(seqs()).toEqual(range(11, 31));
  expect(list()).toMatchObject({ hasBefore: true, hasAfter: false });
});

test.each([true, false])("a message that arrives while an older page loads leaves no gap (it arrives: %s)", async (comes) => {
  startWith(15);
  await open();
  server.holding.add("get_private_messages");
  store.loadBefore(DIRECT).catch(() => {});
  await clock.advance(100);
  for (let seq = 31; seq <= 60; seq++) server.store(DIRECT, PEER, `d${seq}`);
  await clock.advance(100);
  if (comes) for (const deliver of server.held) deliver();
  await clock.advance(16_000);
  server.store(DIRECT, PEER, "next");
  await clock.advance(100);
  expect(seqs()).toEqual(comes ? range(11, 25) : range(47, 61));
  expect(list()).toMatchObject({ hasBefore: true, hasAfter: comes, isLoadingBefore: false });
});

test("of a conversation without subscribers only the newest page is kept", async () => {
  await clock.advance(500);
  const leave = store.messages(DIRECT).subscribe(() => {});
  await clock.advance(500);
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(seqs()).toEqual(range(11, 30));
  leave();
  await open(GROUP);
  expect(seqs()).toEqual(range(21, 30));
  for (let seq = 31; seq <= 100; seq++) server.store(DIRECT, PEER, `d${seq}`);
  await clock.advance(100);
  expect(seqs().length).toBeLessThan(20);
  expect(seqs()).toEqual(range(101 - seqs().length, 100));
  await open();
  void store.loadBefore(DIRECT);
  await clock.advance(100);
  expect(seqs()).toEqual(range(91 - seqs().length + 10, 100));
});

test("an own message keeps its key from sending to sent", async () => {
  await open();
  server.closeAll(1006);
  await clock.advance(0);
  const id = store.send(DIRECT, "mine");
  await clock.advance(0);
  expect(list().messages.at(-1)).toMatchObject({ key: id, status: "sending", seq: Infinity, isOwn: true });
  await clock.advance(5_000);
  const mine = list().messages.filter(({ content }) => content === "mine");
  expect(mine).toHaveLength(1);
  expect(mine[0]).toMatchObject({ key: id, status: "sent", seq: 31 });
});

test("between the answer and the echo the message stays", async () => {
  await open();
  server.faults.lose = 1;
  store.send(DIRECT, "mine");
  const shown: number[] = [];
  store.messages(DIRECT).subscribe(() => shown.push(contents().filter((one) => one === "mine").length));
  await clock.advance(500);
  expect(shown.length).toBeGreaterThan(0);
  expect(new Set(shown)).toEqual(new Set([1]));
});

test("a rejected message fails, and can be sent again or discarded", async () => {
  await open();
  const id = store.send(DIRECT, "");
  await clock.advance(500);
  expect(list().messages.at(-1)).toMatchObject({ key: id, status: "failed", failure: { code: "VALIDATION_ERROR" } });
  store.retry(id);
  expect(list().messages.at(-1)?.status).toBe("sending");
  await clock.advance(500);
  store.discard(id);
  expect(contents()).not.toContain("");
});

test("an edit shows at once and is undone if it is rejected", async () => {
  await open();
  const done = store.edit(message("d30"), "edited");
  expect(contents().at(-1)).toBe("edited");
  await clock.advance(100);
  await done;
  expect(list().messages.at(-1)).toMatchObject({ content: "edited", isEdited: true });
  expect(entry(DIRECT)?.lastMessage?.content).toBe("edited");
  const failed = store.edit({ ...message("d29"), messageId: "msg_unknown" }, "never").catch((error: unknown) => error);
  const offline = store.edit(message("d29"), "lost").catch((error: unknown) => error);
  expect(contents()).toContain("lost");
  await clock.advance(1);
  server.closeAll(1006);
  await clock.advance(100);
  expect(await failed).toMatchObject({ name: "ChatError" });
  expect(await offline).toMatchObject({ code: "CONNECTION_LOST" });
  expect(contents()).not.toContain("lost");
});

test("metadata shows at once, is sent, and follows edits", async () => {
  await open();
  const newest = () => list().messages.at(-1)?.metadata;
  store.send(DIRECT, "mine", undefined, { orderId: 7 });
  await clock.advance(0);
  expect(newest()).toEqual({ orderId: 7 });
  await clock.advance(500);
  expect(server.conversation(DIRECT).messages.get(31)?.metadata).toEqual({ orderId: 7 });
  for (const [given, expected] of [
    [undefined, { orderId: 7 }],
    [{ orderId: 8 }, { orderId: 8 }],
    [null, undefined],
  ] as const) {
    const done = store.edit(message("mine"), "mine", given);
    await clock.advance(100);
    await done;
    expect(newest()).toEqual(expected);
  }
});

test("reactions and deletions show at once", async () => {
  await open();
  const both = [store.react(message("d30"), "👍"), store.remove(message("d29"))];
  expect(list().messages.at(-1)?.reactions).toMatchObject([{ userId: ME, reaction: "👍" }]);
  expect(contents()).not.toContain("d29");
  await clock.advance(100);
  await Promise.all(both);
  expect(list().messages.at(-1)?.reactions).toMatchObject([{ userId: ME, reaction: "👍" }]);
  expect(contents()).not.toContain("d29");
});

test("a message that arrives while a page loads is not lost", async () => {
  server.holding.add("get_private_messages");
  await open();
  server.edit(DIRECT, 30, "edited");
  server.delete(DIRECT, 29);
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  for (const deliver of server.held) deliver();
  await clock.advance(100);
  expect(contents().slice(-3)).toEqual(["d28", "edited", "news"]);
});

test("an event that is older than the page changes nothing", async () => {
  await open();
  server.faults.lose = 1;
  server.edit(DIRECT, 30, "second");
  void store.loadLatest(DIRECT);
  await clock.advance(100);
  const { messageId } = message("second");
  const { version } = server.conversation(DIRECT);
  server.faults.lose = 0;
  server.publish({ type: "message_edited", conversationId: DIRECT, messageId, content: "first", seq: 30, version });
  await clock.advance(100);
  expect(contents().at(-1)).toBe("second");
});

test("after an absence the list is as the server's", async () => {
  await open();
  server.closeAll(1006);
  server.edit(DIRECT, 30, "edited");
  server.delete(DIRECT, 29);
  server.react(DIRECT, 28, PEER, "🎉");
  for (let seq = 31; seq <= 45; seq++) server.store(DIRECT, PEER, `d${seq}`);
  await clock.advance(5_000);
  expect(contents().slice(-17)).toEqual(["d28", "edited", ...Array.from({ length: 15 }, (_, place) => `d${place + 31}`)]);
  expect(message("d28").reactions).toHaveLength(1);
  expect(entry(DIRECT)?.unreadCount).toBe(44);
});

test("reactions and quotations removed during an absence are gone", async () => {
  const replied = server.store(DIRECT, PEER, "d31");
  replied.replyTo = { messageId: "msg_1", senderUsername: "two", content: "d1", createdAt: "", seq: 1 };
  await open();
  server.react(DIRECT, 31, PEER, "🎉");
  await clock.advance(100);
  expect(message("d31")).toMatchObject({ reactions: [{ reaction: "🎉" }], replyTo: { content: "d1" } });
  server.closeAll(1006);
  server.react(DIRECT, 31, PEER, "🎉");
  // Absent if there are none, like those of the real server.
  delete replied.reactions;
  delete replied.replyTo;
  await clock.advance(5_000);
  expect(message("d31")).not.toHaveProperty("reactions");
  expect(message("d31")).not.toHaveProperty("replyTo");
  expect(message("d31")).toMatchObject({ isOwn: false, status: "sent" });
});

test("a message that only a page has shown is removed when it is deleted in one's absence", async () => {
  await open();
  server.faults.lose = 1;
  server.store(DIRECT, PEER, "d31");
  const loaded = store.loadLatest(DIRECT);
  await clock.advance(100);
  await loaded;
  expect(contents().at(-1)).toBe("d31");
  server.faults.lose = 0;
  server.closeAll(1006);
  server.delete(DIRECT, 31);
  await clock.advance(5_000);
  expect(contents().at(-1)).toBe("d30");
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 31, lastMessage: { content: "d30" } });
});

test("many changes arrive over several syncs", async () => {
  store.close();
  client.close();
  // Each `sync` gets one part only.
  server = Object.assign(new FakeServer(clock, () => 0, true), { faults: server.faults });
  for (let seq = 1; seq <= 10; seq++) server.store(DIRECT, PEER, `d${seq}`);
  start();
  await open();
  server.closeAll(1006);
  for (let seq = 1; seq <= 9; seq++) server.edit(DIRECT, seq, "edited");
  await clock.advance(20_000);
  expect(contents()).toEqual([...Array.from({ length: 9 }, () => "edited"), "d10"]);
});

test("stale changes load the newest page again", async () => {
  await open();
  server.isStale = true;
  server.closeAll(1006);
  server.edit(DIRECT, 30, "edited");
  await clock.advance(5_000);
  expect(contents().at(-1)).toBe("edited");
  expect(contents()).toHaveLength(10);
});

test("after a restore the inbox shows what the server has, at once after the resume", async () => {
  const restore = server.backup();
  await open();
  server.store(DIRECT, PEER, "lost");
  await clock.advance(100);
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 31, unreadCount: 31, lastMessage: { content: "lost" } });
  restore();
  server.closeAll(1012);
  await clock.advance(5_200);
  expect(client.state.name).toBe("online");
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 30, unreadCount: 30, lastMessage: { content: "d30" } });
  expect(inbox().totalUnread).toBe(33);
  expect(contents().at(-1)).toBe("d30");
  server.store(DIRECT, PEER, "new");
  await clock.advance(100);
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 31, unreadCount: 31, lastMessage: { content: "new" } });
  expect(contents().slice(-2)).toEqual(["d30", "new"]);
});

test("messages lost while the inbox was loading do not come back with its answer", async () => {
  const restore = server.backup();
  await open();
  server.holding.add("get_inbox");
  store.refresh().catch(() => {});
  await clock.advance(50);
  server.store(DIRECT, PEER, "lost");
  await clock.advance(100);
  restore();
  server.holding.clear();
  server.closeAll(1012);
  await clock.advance(5_200);
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 30, unreadCount: 30, lastMessage: { content: "d30" } });
  expect(inbox().totalUnread).toBe(33);
});

test("marks of a lost message do not apply to the message that has its number now", async () => {
  const restore = server.backup();
  const cached = { entries: [], messages: {}, readBy: { [GROUP]: { "3": 4 } } };
  store.close();
  client.close();
  start({ load: () => Promise.resolve(cached), changed: () => {} });
  await open();
  store.send(DIRECT, "lost");
  store.send(GROUP, "lost");
  await clock.advance(100);
  server.peerRead(DIRECT, 31);
  server.publish({ type: "message_delivered", conversationId: DIRECT, seq: 31 });
  await clock.advance(100);
  expect(list()).toMatchObject({ deliveredSeq: 31, readBy: new Map([[PEER, 31]]) });
  restore();
  server.closeAll(1012);
  await clock.advance(5_200);
  expect(list()).toMatchObject({ deliveredSeq: 0, readBy: new Map([[PEER, 0]]) });
  expect(list(GROUP).readBy).toEqual(new Map());
});

test("a number that comes again on a connection that stayed shows in the inbox at once", async () => {
  const restore = server.backup();
  await open();
  for (const content of ["lost 1", "lost 2"]) server.store(DIRECT, PEER, content);
  await clock.advance(100);
  restore();
  server.store(DIRECT, PEER, "new");
  await clock.advance(150);
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 31, unreadCount: 31, lastMessage: { content: "new" } });
  expect(inbox().totalUnread).toBe(34);
  expect(contents().slice(-2)).toEqual(["d30", "new"]);
});

test("a restore shows on a connection that stayed, though nobody writes", async () => {
  store.close();
  client.close();
  server.epoch = "before";
  start();
  const restore = server.backup();
  await open();
  for (const content of ["lost 1", "lost 2"]) server.store(DIRECT, PEER, content);
  await clock.advance(100);
  expect(contents().slice(-2)).toEqual(["lost 1", "lost 2"]);
  restore();
  server.epoch = "after";
  server.announceEpoch();
  await clock.advance(200);
  expect(contents().at(-1)).toBe("d30");
  expect(entry(DIRECT)).toMatchObject({ lastSeq: 30, unreadCount: 30, lastMessage: { content: "d30" } });
});

test("a number known only from a page is distinguished from a repetition", async () => {
  store.close();
  client.close();
  const restore = server.backup();
  for (const content of ["lost 1", "lost 2"]) server.store(DIRECT, PEER, content);
  server.delivered.set(DIRECT, 32);
  start();
  await open();
  expect(contents().slice(-2)).toEqual(["lost 1", "lost 2"]);
  restore();
  for (const content of ["new 1", "new 2", "new 3"]) server.store(DIRECT, PEER, content);
  await clock.advance(3_000);
  expect(contents().slice(-4)).toEqual(["d30", "new 1", "new 2", "new 3"]);
});

test("a message with an old number and an unknown id leads to a sync", async () => {
  store.close();
  client.close();
  server.delivered.set(DIRECT, 30);
  const saved = { positions: { [DIRECT]: { seq: 30, version: 30 } }, seen: [], outbox: [] };
  const persist = { load: async () => structuredClone(saved), save: async () => {} };
  const { constructorOfSockets: WebSocket } = server;
  client = new ChatClient({ url: "ws://fake", getToken: () => "token", WebSocket, clock, random: seeded(7), persist });
  const stale: string[] = [];
  client.on("changes", ({ conversationId, stale: is }) => void (is && stale.push(conversationId)));
  void client.start();
  await clock.advance(500);
  expect(stale).toEqual([]);
  const conversation = server.conversation(DIRECT);
  [conversation.seq, conversation.version] = [28, 28];
  server.store(DIRECT, PEER, "another 29");
  await clock.advance(3_000);
  expect(stale).toEqual([DIRECT]);
});

test.each([
  [10, 20],
  [20, 10],
])("what waited when the page was left is shown at once, without a connection (%i, %i)", async (persistMs, cacheMs) => {
  store.close();
  client.close();
  const item = { clientMessageId: "c1", to: { conversationId: DIRECT }, content: "from a tunnel", queuedAt: 5 };
  const saved = { positions: {}, seen: [], outbox: [item] };
  const persist = { load: () => new Promise<typeof saved>((resolve) => clock.setTimeout(() => resolve(saved), persistMs)), save: async () => {} };
  const cached: Cached = { myId: ME, entries: [], messages: {} };
  const load = () => new Promise<Cached>((resolve) => clock.setTimeout(() => resolve(cached), cacheMs));
  const never = () => new Promise<string>(() => {});
  const { constructorOfSockets: WebSocket } = server;
  client = new ChatClient({ url: "ws://fake", getToken: never, WebSocket, clock, random: seeded(7), persist });
  store = new ChatStore(client, { clock, cache: { load, changed: () => {} } });
  void client.start();
  await open();
  expect(list().messages).toMatchObject([{ content: "from a tunnel", status: "sending", isOwn: true, senderId: ME }]);
});

test("read marks show at once, and are sent again after a lost connection", async () => {
  await open();
  server.closeAll(1006);
  await clock.advance(0);
  store.markRead(DIRECT);
  expect(entry(DIRECT)).toMatchObject({ unreadCount: 0, readSeq: 30 });
  expect(inbox().totalUnread).toBe(3);
  await clock.advance(5_000);
  expect(server.reads.get(DIRECT)?.[ME]).toBe(30);
  expect(entry(DIRECT)).toMatchObject({ unreadCount: 0, readSeq: 30 });
  const before = server.frames.filter(({ type }) => type === "mark_message_read").length;
  store.markRead(DIRECT);
  await clock.advance(1_000);
  expect(server.frames.filter(({ type }) => type === "mark_message_read")).toHaveLength(before);
});

test("a part is read here, all of it on another device", async () => {
  await open();
  store.markRead(DIRECT, 25);
  expect(entry(DIRECT)).toMatchObject({ readSeq: 25, unreadCount: 5 });
  await clock.advance(1_000);
  server.peerRead(DIRECT, 30, ME);
  await clock.advance(100);
  expect(entry(DIRECT)).toMatchObject({ readSeq: 30, unreadCount: 0 });
});

test("the other's read mark arrives", async () => {
  await open();
  store.send(DIRECT, "mine");
  await clock.advance(100);
  server.peerRead(DIRECT, 31);
  await clock.advance(100);
  expect(list().readBy.get(PEER)).toBe(31);
  expect(entry(DIRECT)?.peerReadSeq).toBe(31);
});

test("settings show at once; pinned conversations come first", async () => {
  await clock.advance(500);
  const done = store.set(GROUP, { pinned: true });
  expect(inbox().entries[0]?.conversationId).toBe(GROUP);
  await clock.advance(100);
  await done;
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(inbox().entries[0]).toMatchObject({ conversationId: GROUP, pinned: true });
});

test("typing ends by itself and with the message", async () => {
  await clock.advance(500);
  const typists = () => store.typing(DIRECT).getSnapshot().map(({ username }) => username);
  const type = { type: "user_typing", conversationId: DIRECT, userId: PEER, username: "two", isTyping: true };
  server.publish(type);
  await clock.advance(100);
  expect(typists()).toEqual(["two"]);
  await clock.advance(6_000);
  expect(typists()).toEqual([]);
  server.publish(type);
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  expect(typists()).toEqual([]);
});

test("typing is sent at most every two seconds", async () => {
  await clock.advance(500);
  for (let stroke = 0; stroke < 10; stroke++) {
    store.setTyping(DIRECT, true);
    await clock.advance(500);
  }
  store.setTyping(DIRECT, false);
  await clock.advance(100);
  const told = server.frames.filter(({ type }) => type === "typing");
  expect(told.map(({ isTyping }) => isTyping)).toEqual([true, true, true, false]);
  expect(told[0]).toMatchObject({ recipientId: PEER });
});

test("presence follows the events", async () => {
  await clock.advance(3_000);
  server.publish({ type: "user_online", user: { userId: PEER } });
  await clock.advance(100);
  expect([...store.online.getSnapshot()]).toEqual([PEER]);
  expect(entry(DIRECT)?.participant?.online).toBe(true);
});

test("a batch of comings and goings ends in each user's last state", async () => {
  await clock.advance(3_000);
  expect(server.frames.filter(({ type }) => type === "authenticate")).toMatchObject([{ presenceBatches: true }]);
  const seen: string[] = [];
  client.on("event", ({ type }) => void seen.push(type));
  const change = (type: string, userId: string) => ({ type, user: { userId } });
  const changes = [
    change("user_online", PEER),
    change("user_online", "77"),
    change("user_offline", PEER),
    change("user_offline", "77"),
    change("user_online", PEER),
  ];
  server.publish({ type: "presence_changed", changes });
  await clock.advance(100);
  expect([...store.online.getSnapshot()]).toEqual([PEER]);
  expect(entry(DIRECT)?.participant?.online).toBe(true);
  expect(seen).toEqual(changes.map(({ type }) => type));
});

test("the cache shows the last state before there is a connection", async () => {
  let read: (() => Cached) | undefined;
  const cache: StoreCache = { load: async () => read && structuredClone(read()), changed: (now) => void (read = now) };
  store.close();
  client.close();
  start(cache);
  await open();
  const saved = structuredClone(read?.()) as Cached;
  read = () => saved;
  store.close();
  client.close();
  server.refusal = { type: "error", code: "MAX_CONNECTIONS_EXCEEDED", retryAfter: 30 };
  start(cache);
  await open();
  expect(inbox()).toMatchObject({ status: "cached", entries: [{ conversationId: DIRECT }, { conversationId: GROUP }] });
  expect(list().status).toBe("cached");
  expect(contents()).toHaveLength(10);
  store.send(DIRECT, "later");
  await clock.advance(0);
  expect(contents().at(-1)).toBe("later");
  server.refusal = undefined;
  server.edit(DIRECT, 30, "edited");
  await clock.advance(400_000);
  expect(list().status).toBe("ready");
  expect(contents().slice(-2)).toEqual(["edited", "later"]);
});

test("who has read in a group is known after the next start, and what arrived last is shown", async () => {
  let read: (() => Cached) | undefined;
  const cache: StoreCache = { load: async () => read && structuredClone(read()), changed: (now) => void (read = now) };
  store.close();
  client.close();
  start(cache);
  await open(DIRECT);
  await clock.advance(2_000);
  read = undefined;
  server.peerRead(GROUP, 2, "3");
  await clock.advance(100);
  expect(read, "saved without another page").toBeDefined();
  read = undefined;
  server.store(DIRECT, PEER, "news");
  await clock.advance(100);
  const saved = structuredClone((read as unknown as () => Cached)());
  read = () => saved;
  expect(saved.messages[DIRECT]?.at(-1)?.content).toBe("news");
  store.close();
  client.close();
  start(cache);
  await open(GROUP);
  expect([...list(GROUP).readBy]).toEqual([["3", 2]]);
});
