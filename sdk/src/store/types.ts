// The types of what the store shows.
import type { InboxEntry as GivenEntry, Message, SetConversationSettingsCommand, UserId } from "../generated/protocol";

/** A user's settings for a conversation. */
export type ConversationSettings = Pick<SetConversationSettingsCommand, "mutedUntil" | "pinned" | "markedUnread">;

/** The newest message of a conversation. An optimistic update knows only a part of it. */
export type InboxMessage = Pick<Message, "messageId" | "content" | "senderId"> & Partial<Message>;

/** A conversation in the inbox, as received and changed since. */
export type InboxEntry = Omit<GivenEntry, "lastMessage" | "mutedUntil"> &
  Pick<ConversationSettings, "mutedUntil"> & { lastMessage?: InboxMessage };

/** The shape of React's `useSyncExternalStore`; a snapshot is the same object until something in it changes. */
export interface Readable<T> {
  subscribe(listener: () => void): () => void;
  getSnapshot(): T;
}

/** A message as it is shown: stored by the server, or still being sent. */
export interface ChatMessage extends Message {
  /** Stays the same while one of the user's messages goes from `sending` to `sent`: for React's `key`. */
  key: string;
  isOwn: boolean;
  /** `sending` and `failed` have `seq: Infinity`, and their `clientMessageId` as `messageId`. */
  status: "sending" | "failed" | "sent";
  /** Why the server rejected it: `retry` or `discard` it. */
  failure?: { code: string; message: string } | undefined;
}

/** The list of conversations as it is shown. */
export interface Inbox {
  /** `cached`: from an earlier start, not checked yet. */
  status: "loading" | "cached" | "ready" | "failed";
  /** Pinned ones first, then by newest activity. */
  entries: readonly InboxEntry[];
  /** The sum over all conversations, including those that are not loaded. */
  totalUnread: number;
  hasMore: boolean;
}

/** The loaded part of a conversation as it is shown. */
export interface MessageList {
  /** `gone`: the conversation no longer exists for this user. */
  status: "loading" | "cached" | "ready" | "failed" | "gone";
  /** Oldest first; the user's own unsent messages come last. */
  messages: readonly ChatMessage[];
  hasBefore: boolean;
  /** Newer messages exist that are not loaded (after `loadAround`). */
  hasAfter: boolean;
  isLoadingBefore: boolean;
  isLoadingAfter: boolean;
  /** The user's own messages up to this `seq` have been delivered (direct conversations). */
  deliveredSeq: number;
  /** How far each other user has read, as far as known. */
  readBy: ReadonlyMap<UserId, number>;
}

/** A user who is typing. */
export interface Typist {
  userId: UserId;
  username: string;
}

/** What an application shows first after the next start. */
export interface Cached {
  myId?: string | undefined;
  entries: readonly InboxEntry[];
  /** By conversation: the newest messages without a gap. */
  messages: Record<string, readonly ChatMessage[]>;
  /** By conversation, then by user id: the server sends each read mark in a group only once. */
  readBy?: Record<string, Record<UserId, number>> | undefined;
}

/** Where the store keeps it, such as `indexedDb().cache`. */
export interface StoreCache {
  load(): Promise<Cached | undefined>;
  /** Something changed: `read` returns the present state at any time. */
  changed(read: () => Cached): void;
}
