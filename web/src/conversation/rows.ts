// What the list shows in addition to the messages: days, groups of messages by one person, and where the new ones
// begin.
import type { ChatMessage, MessageList } from "@elitescore/chat/store";

const GROUPED_WITHIN_MS = 5 * 60_000;

export interface MessageRow {
  message: ChatMessage;
  /** The first one of a day. */
  startsDay: boolean;
  /** The first one that was unread when the conversation was opened. */
  startsNew: boolean;
  /** Follows a message by the same person shortly after: shown without name and picture. */
  continues: boolean;
  /** The next message does not continue it. */
  endsGroup: boolean;
}

type Rows = (messages: readonly ChatMessage[], newFrom: number | undefined) => readonly MessageRow[];

function sameDay(a: string, b: string): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function startsDay(message: ChatMessage, before: ChatMessage | undefined): boolean {
  return !before || !sameDay(before.createdAt, message.createdAt);
}

function startsNew(message: ChatMessage, before: ChatMessage | undefined, newFrom: number): boolean {
  return message.status === "sent" && message.seq >= newFrom && (!before || before.seq < newFrom);
}

function continues(message: ChatMessage, before: ChatMessage | undefined, newFrom: number): boolean {
  if (!before || before.senderId !== message.senderId || before.kind !== message.kind || message.replyTo) return false;
  const apart = Date.parse(message.createdAt) - Date.parse(before.createdAt);
  return apart < GROUPED_WITHIN_MS && !startsDay(message, before) && !startsNew(message, before, newFrom);
}

/**
 * Makes the rows of a changing list: a row whose message and neighbours are unchanged stays the same object, and is
 * not rendered again.
 */
export function rowMaker(): Rows {
  let last: { messages: readonly ChatMessage[]; newFrom: number; rows: readonly MessageRow[] } = { messages: [], newFrom: Infinity, rows: [] };
  return (messages, newFrom = Infinity) => {
    const known = newFrom === last.newFrom ? last.messages : [];
    const rows = last.rows;
    // Older ones may have been inserted above, or dropped there.
    const place = messages.indexOf(known[0] as ChatMessage);
    const shift = place >= 0 ? place : -known.indexOf(messages[0] as ChatMessage);
    const made = messages.map((message, index): MessageRow => {
      const [before, after] = [messages[index - 1], messages[index + 1]];
      const old = index - shift;
      const row = known[old] === message ? rows[old] : undefined;
      if (row && known[old - 1] === before && known[old + 1] === after) return row;
      return {
        message,
        startsDay: startsDay(message, before),
        startsNew: startsNew(message, before, newFrom),
        continues: continues(message, before, newFrom),
        endsGroup: !after || !continues(after, message, newFrom),
      };
    });
    last = { messages, newFrom, rows: made };
    return made;
  };
}

interface Reader {
  userId: string;
  readSeq?: number;
}

/** Up to where each member of a group has read. An event tells only the author of the message that was read last; who wrote has read, too. */
export function readers({ readBy, messages }: MessageList, members: readonly Reader[]): ReadonlyMap<string, number> {
  const all = new Map(readBy);
  for (const { userId, readSeq = 0 } of members) all.set(userId, Math.max(readSeq, all.get(userId) ?? 0));
  for (const { senderId, seq, status } of messages) if (status === "sent") all.set(senderId, Math.max(seq, all.get(senderId) ?? 0));
  return all;
}

/** Up to where one of the others has read. */
export function readUpTo(list: MessageList, me: string, members: readonly Reader[] | undefined): number {
  const answer = members && list.messages.findLast(({ senderId, status }) => status === "sent" && senderId !== me);
  const all = [...list.readBy, ...(members ?? []).map(({ userId, readSeq = 0 }) => [userId, readSeq] as const)];
  return all.reduce((most, [reader, seq]) => (reader === me ? most : Math.max(most, seq)), answer?.seq ?? 0);
}
