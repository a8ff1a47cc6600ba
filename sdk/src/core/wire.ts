// What the client needs to know about commands and events beyond their types.
import type { ChatEvent, ErrorAnswer, Events } from "../generated/protocol";

/** How far a client has a conversation without a gap. Servers without versions omit `version`. */
export interface Position {
  seq: number;
  version?: number | undefined;
}

/** Everything the client understands. */
export type ServerEvent = ChatEvent & { version?: number };

export type MessageFrame = Events["new_message" | "new_group_message" | "group_announcement"] & { version?: number };

export type AnyError = ErrorAnswer | Events["auth_error"];

export function isMessage(event: ServerEvent): event is MessageFrame {
  return event.type === "new_message" || event.type === "new_group_message" || event.type === "group_announcement";
}

export function isGroup(conversationId: string): boolean {
  return conversationId.startsWith("group_");
}

/** The field with which commands name a conversation. */
export function placeOf(conversationId: string): { groupId: string } | { conversationId: string } {
  return isGroup(conversationId) ? { groupId: conversationId } : { conversationId };
}

/** Where a send to a conversation goes; a direct one's id names both users. */
export function recipientOf(conversationId: string, myId: string | undefined): { groupId: string } | { recipientId: string } {
  if (isGroup(conversationId)) return { groupId: conversationId };
  const [, a = "", b = ""] = conversationId.split("_");
  return { recipientId: a === myId ? b : a };
}

/** The conversation an event belongs to, or `undefined`. */
export function conversationOf(event: object): string | undefined {
  const { conversationId, groupId } = event as { conversationId?: string; groupId?: string };
  return conversationId ?? groupId;
}

/** Whether a command only reads. */
function isQuery(command: string): boolean {
  return /^(get_|find_|ping$|test$|start_conversation$)/.test(command);
}

/** Whether a command may be repeated after a lost connection. */
export function isRepeatable(command: string): boolean {
  return isQuery(command) || command === "mark_message_read";
}

/** Whether a command is a send, which is answered before its echo, which everyone gets. */
export function isSend(command: string): boolean {
  return command.startsWith("send_");
}

/** Whether the direct answer to a command is also what happened, which others get as an event. */
export function isChange(command: string, answer: object): boolean {
  return !isQuery(command) && conversationOf(answer) !== undefined;
}
