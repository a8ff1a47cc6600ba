// A page of a conversation's history (which the server names differently for groups), and a page of the list of
// conversations.
import type { InboxEntry, Message } from "../generated/protocol";

/** The maximum that the server returns at once. */
export const MAX_PAGE_SIZE = 200;

/** Which part of the history; at most one of those with `Seq` and `aroundMessageId`. */
export interface HistoryFields {
  /** 50 by default, at most 200. */
  limit?: number;
  beforeSeq?: number | undefined;
  afterSeq?: number | undefined;
  /** About half of the page before that message. */
  aroundSeq?: number | undefined;
  aroundMessageId?: string | undefined;
}

export interface HistoryPage {
  /** Oldest first. */
  messages: Message[];
  version?: number | undefined;
  hasBefore: boolean;
  hasAfter: boolean;
}

export interface InboxPage {
  entries: InboxEntry[];
  /** Of all conversations. */
  totalUnread: number;
  hasMore: boolean;
}

export interface AnsweredPage {
  messages: Message[];
  version?: number;
  hasMore: boolean;
  hasBefore?: boolean;
  hasAfter?: boolean;
}

/** The server's `hasMore` refers to the requested direction. */
export function pageOf({ messages, version, hasMore, hasBefore, hasAfter }: AnsweredPage, fields: HistoryFields): HistoryPage {
  const isForward = fields.afterSeq !== undefined;
  return { messages, version, hasBefore: hasBefore ?? (!isForward && hasMore), hasAfter: hasAfter ?? (isForward && hasMore) };
}
