// The memory of a client is bounded and small.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { MessageWindow } from "../src/store/window";
import { Timeline } from "../src/core/timeline";

const nothing = () => {};
const nowhere = { message: nothing, event: nothing, changes: nothing, gone: nothing, confirmed: nothing, incomplete: nothing };

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

/** As the server sends it. */
function frame(seq: number): Parameters<Timeline["ingest"]>[0] {
  const ids = { messageId: `msg_${seq}`, conversationId: "group_a", groupId: "group_a", seq, version: seq, clientMessageId: `c${seq}` };
  const sender = { senderId: "2", senderUsername: "two", createdAt: "2026-01-01T00:00:00.000Z", timestamp: "2026-01-01T00:00:00.001Z" };
  const rest = { content: `m${seq}`, kind: "text", isRead: false, isEdited: false, isPinned: false, reactions: [], mentions: [] };
  return JSON.parse(JSON.stringify({ type: "new_group_message", ...ids, ...sender, ...rest })) as never;
}

test("a message that is kept takes less than 600 bytes, edited or not", () => {
  const count = 5_000;
  const window = new MessageWindow(() => "1", { pageSize: 50, maxMessages: count }, () => {});
  window.live.subscribe(() => {});
  const timeline = new Timeline({ ...nowhere, message: (message) => window.add(message) });
  const arrive = (seq: number) => {
    timeline.ingest(frame(seq));
    if (seq % 2) window.patch(`msg_${seq}`, seq, () => ({ isEdited: true }));
  };
  // Code that is compiled and cached once does not count.
  for (let seq = 1; seq <= 100; seq++) arrive(seq);
  const before = heap();
  for (let seq = 101; seq <= count; seq++) arrive(seq);
  const each = (heap() - before) / (count - 100);
  expect(window.live.getSnapshot().messages).toHaveLength(count);
  expect(each).toBeLessThan(600);
});

test("ids of events that have a version are not remembered", () => {
  const confirmed: string[] = [];
  const delivered: object[] = [];
  const timeline = new Timeline({ ...nowhere, event: (event) => delivered.push(event), confirmed: (id) => confirmed.push(id) });
  timeline.track("group_a", { seq: 1, version: 1 });
  const event = { type: "group_message_edited", groupId: "group_a", messageId: "msg_1", version: 2, eventId: "one" };
  for (let time = 0; time < 2; time++) timeline.ingest(event as never);
  expect(delivered).toEqual([event]);
  expect(confirmed).toEqual(["one", "one"]);
  expect([...timeline.seen]).toEqual([]);
  for (let time = 0; time < 2; time++) timeline.ingest({ type: "group_deleted", groupId: "group_a", eventId: "two" } as never);
  expect(delivered).toHaveLength(2);
  expect([...timeline.seen]).toEqual(["two"]);
});
