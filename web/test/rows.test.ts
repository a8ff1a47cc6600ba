// What the list shows beside the messages, and that what has not changed is not rendered again.
import type { ChatMessage } from "@elitescore/chat/store";
import { expect, test } from "vitest";
import { type MessageRow, readers, readUpTo, rowMaker } from "../src/conversation/rows";

function message(seq: number, senderId = "1", at = `2026-03-01T12:00:${String(seq).padStart(2, "0")}.000Z`): ChatMessage {
  return { key: `m${seq}`, messageId: `m${seq}`, seq, senderId, createdAt: at, kind: "text", status: "sent", content: "" } as ChatMessage;
}

const [a, b, c] = [message(1), message(2), message(3, "2")];
const marks = ({ startsDay, startsNew, continues, endsGroup }: MessageRow) =>
  Object.entries({ startsDay, startsNew, continues, endsGroup }).flatMap(([name, is]) => (is ? [name] : []));

test("messages by one person shortly after each other are a group", () => {
  const late = message(4, "2", "2026-03-01T12:30:00.000Z");
  const nextDay = message(5, "2", "2026-03-03T12:30:00.000Z");
  expect(rowMaker()([a, b, c, late, nextDay], undefined).map(marks)).toEqual([
    ["startsDay"],
    ["continues", "endsGroup"],
    ["endsGroup"],
    ["endsGroup"],
    ["startsDay", "endsGroup"],
  ]);
  expect(rowMaker()([a, b], 2).map(marks)).toEqual([["startsDay", "endsGroup"], ["startsNew", "endsGroup"]]);
});

test("what one sends oneself is not new, and belongs to what one said before", () => {
  const sending = { ...message(3), key: "m3", seq: Infinity, status: "sending" } as ChatMessage;
  for (const newFrom of [undefined, 3]) {
    expect(rowMaker()([a, b, sending], newFrom).map(marks)).toEqual([["startsDay"], ["continues"], ["continues", "endsGroup"]]);
  }
});

test("only rows whose message or neighbours changed are rebuilt", () => {
  const make = rowMaker();
  const same = (now: readonly MessageRow[], before: readonly MessageRow[]) => now.map((row) => before.includes(row));
  const first = make([b, c], undefined);
  const appended = make([b, c, message(4)], undefined);
  expect(same(appended, first)).toEqual([true, false, false]);
  const prepended = make([message(0), a, ...appended.map((row) => row.message)], undefined);
  expect(same(prepended, appended)).toEqual([false, false, false, true, true]);
  const dropped = make(prepended.slice(1).map((row) => row.message), undefined);
  expect(same(dropped, prepended)).toEqual([false, true, true, true]);
  expect(make(dropped.map((row) => row.message), 3)).not.toContain(dropped[2]);
  for (const rows of [appended, prepended, dropped]) expect(rows.map(marks)).toEqual(rowMaker()(rows.map((row) => row.message), undefined).map(marks));
});

test("a member who answers in a group has read the messages before, and the server says how far members have read", () => {
  const list = { readBy: new Map([["2", 1], ["1", 9]]), messages: [a, b, c] } as unknown as Parameters<typeof readUpTo>[0];
  expect(readUpTo(list, "1", [])).toBe(3);
  expect(readUpTo(list, "1", undefined)).toBe(1);
  const members = [{ userId: "1", readSeq: 9 }, { userId: "2", readSeq: 2 }, { userId: "3", readSeq: 4 }, { userId: "4" }];
  expect(readUpTo(list, "1", members)).toBe(4);
  expect(Object.fromEntries(readers(list, members))).toEqual({ 1: 9, 2: 3, 3: 4, 4: 0 });
});
