// Commands of protocol section 9. Each goes away when the contract generates it.
import type { Answers, Commands, Message, Timestamp, UserId } from "../generated/protocol";

/** A conversation in the inbox. */
export interface InboxEntry {
  kind: "direct" | "group" | "community";
  conversationId: string;
  groupId?: string;
  communityId?: string;
  /** A group's or a community's. */
  name?: string;
  participant?: InboxParticipant;
  lastMessage?: InboxMessage | null;
  lastActivityAt: Timestamp;
  lastSeq: number;
  readSeq: number;
  peerReadSeq?: number;
  /** Counts to 1,000, which means at least as many. */
  unreadCount: number;
  unreadMentions: number;
  version: number;
  mutedUntil?: Timestamp | null;
  pinned: boolean;
  markedUnread: boolean;
  myRole?: string;
}

export interface InboxParticipant {
  userId: UserId;
  username: string;
  displayName: string;
  profileImage: string | null;
  online: boolean;
}

/** The newest message that the caller can see. */
export type InboxMessage = Pick<Message, "messageId" | "content" | "senderId"> & Partial<Message>;

/** A user in a list of found or blocked users. */
export interface ListedUser {
  userId: UserId;
  username: string;
  displayName: string;
  profileImage: string | null;
}

export interface ConversationSettings {
  mutedUntil?: Timestamp | null;
  pinned?: boolean;
  markedUnread?: boolean;
}

interface AddedCommands {
  get_inbox: { type: "get_inbox"; limit?: number; cursor?: string };
  set_conversation_settings: { type: "set_conversation_settings"; conversationId: string } & ConversationSettings;
  find_users: { type: "find_users"; query: string; limit?: number };
  block_user: { type: "block_user"; userId: string };
  unblock_user: { type: "unblock_user"; userId: string };
  get_blocked_users: { type: "get_blocked_users" };
}

interface AddedAnswers {
  get_inbox: { type: "inbox"; entries: InboxEntry[]; nextCursor?: string | null; totalUnread: number };
  set_conversation_settings: { type: "conversation_settings"; conversationId: string } & ConversationSettings;
  find_users: { type: "users_found"; users: ListedUser[] };
  block_user: { type: "user_blocked"; userId: UserId };
  unblock_user: { type: "user_unblocked"; userId: UserId };
  get_blocked_users: { type: "blocked_users"; users: ListedUser[] };
}

export type AllCommands = Commands & Omit<AddedCommands, keyof Commands>;
export type AllAnswers = Answers & Omit<AddedAnswers, keyof Answers>;
