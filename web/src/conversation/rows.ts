// What the list shows beside the messages: days, groups of messages by one person, and where the new ones begin.
import type { ChatMessage, MessageList } from "@elitescore/chat/store";

const GROUPED_WITHIN_MS = 5 * 60_000;

export interface MessageRow {
  message: ChatMessage;
  /** The first one of a day. */
  startsDay: boolean;
  /** The first one that was unread when the conversation was opened. */
  startsNew: boolean;
  /** Follows one by the same person shortly after: without name and picture. */
  continues: boolean;
  /** Nobody's next one continues it. */
  endsGroup: boolean;
}

function sameDay(a: string, b: string): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function continues(message: ChatMessage, before: ChatMessage | undefined): boolean {
  if (!before || before.senderId !== message.senderId || before.kind !== message.kind || message.replyTo) return false;
  const apart = Date.parse(message.createdAt) - Date.parse(before.createdAt);
  return apart < GROUPED_WITHIN_MS && sameDay(message.createdAt, before.createdAt);
}

/** Up to where each member of a group has read. The server tells only the author of the message that was read last; who wrote has read, too. */
export function withAnswers({ readBy, messages }: MessageList): ReadonlyMap<string, number> {
  const all = new Map(readBy);
  for (const { senderId, seq, status } of messages) if (status === "sent") all.set(senderId, Math.max(seq, all.get(senderId) ?? 0));
  return all;
}

export function toRows(messages: readonly ChatMessage[], newFrom: number | undefined): MessageRow[] {
  let isNewShown = newFrom === undefined;
  const rows = messages.map((message, index): MessageRow => {
    const before = messages[index - 1];
    const startsDay = !before || !sameDay(before.createdAt, message.createdAt);
    const startsNew = !isNewShown && message.seq >= (newFrom ?? 0);
    if (startsNew) isNewShown = true;
    return { message, startsDay, startsNew, continues: !startsDay && !startsNew && continues(message, before), endsGroup: true };
  });
  rows.forEach((row, index) => (row.endsGroup = !rows[index + 1]?.continues));
  return rows;
}
