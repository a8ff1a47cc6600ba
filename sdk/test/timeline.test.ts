// Numbers that come again because the server's database was restored.
import { expect, test } from "vitest";
import { Timeline } from "../src/core/timeline";
import type { ServerEvent } from "../src/core/wire";

function listen() {
  const seen: string[] = [];
  const timeline = new Timeline({
    message: ({ messageId }) => seen.push(messageId),
    event: () => {},
    changes: ({ stale }) => seen.push(stale ? "stale" : "changes"),
    gone: () => {},
    confirmed: () => {},
    incomplete: () => seen.push("incomplete"),
  });
  return { timeline, seen };
}

function live(seq: number, messageId: string, version = seq): ServerEvent {
  return { type: "new_message", conversationId: "conv_1_2", seq, version, messageId, senderId: "2", timestamp: "t" } as ServerEvent;
}

test("another message with a known number discards the state and continues from there", () => {
  const { timeline, seen } = listen();
  for (let seq = 1; seq <= 5; seq++) timeline.ingest(live(seq, `old-${seq}`));
  for (let seq = 3; seq <= 6; seq++) timeline.ingest(live(seq, `new-${seq}`));
  expect(seen).toEqual(["old-1", "old-2", "old-3", "old-4", "old-5", "stale", "new-3", "new-4", "new-5", "new-6"]);
  expect(timeline.positions.get("conv_1_2")).toEqual({ seq: 6, version: 6 });
});

test("a repeated message is ignored", () => {
  const { timeline, seen } = listen();
  for (const seq of [1, 2, 3, 2, 3, 1, 4]) timeline.ingest(live(seq, `m-${seq}`));
  expect(seen).toEqual(["m-1", "m-2", "m-3", "m-4"]);
});

test("a sync after the restore is believed, too", () => {
  const { timeline, seen } = listen();
  for (let seq = 1; seq <= 5; seq++) timeline.ingest(live(seq, `old-${seq}`));
  const messages = [{ seq: 4, messageId: "new-4", conversationId: "conv_1_2" }];
  const part = { type: "sync_messages", conversationId: "conv_1_2", messages, hasMore: false, version: 5, timestamp: "t" };
  timeline.messages(part as never, { seq: 5, version: 5 });
  expect(seen.slice(5)).toEqual(["stale", "new-4"]);
});

test("what was replayed and deleted before the sync was answered does not come", () => {
  const { timeline, seen } = listen();
  timeline.ingest(live(1, "m-1"));
  const asked = timeline.ask("conv_1_2");
  // Versions are those of live events.
  const { version: _, ...replayed } = live(3, "m-3");
  timeline.ingest(replayed as ServerEvent);
  const messages = [{ seq: 2, messageId: "m-2", conversationId: "conv_1_2" }];
  const part = { type: "sync_messages", conversationId: "conv_1_2", messages, hasMore: false, version: 4, timestamp: "t" };
  seen.length = 0;
  timeline.messages(part as never, asked ?? { seq: 0 });
  expect(seen).toEqual(["m-2", "incomplete"]);
  timeline.ingest(live(3, "m-4", 5));
  expect(seen.slice(2), "its number is not taken").toEqual(["m-4"]);
});
