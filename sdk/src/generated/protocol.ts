// Made by `chatctl docs typescript` from the contract of the server. Do not edit.

/** Who was added. */
export interface AddedUser {
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** Why a token does not open a session. */
export const AuthErrorCode = {
  /** There is no `token`. */
  TOKEN_MISSING: "TOKEN_MISSING",
  /** Not a JWT, not signed by an accepted key, or without a required claim. */
  TOKEN_INVALID: "TOKEN_INVALID",
  /** Its time is over: get a new one. */
  TOKEN_EXPIRED: "TOKEN_EXPIRED",
  /** It was revoked: log in again. */
  TOKEN_REVOKED: "TOKEN_REVOKED",
  /** Its user does not exist. */
  USER_NOT_FOUND: "USER_NOT_FOUND",
  /** For the moment; again after `retryAfter` seconds. */
  SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
} as const;
export type AuthErrorCode = (typeof AuthErrorCode)[keyof typeof AuthErrorCode];

/** A challenge that a member completed. */
export interface ChallengeEvent {
  /** The main backend's id of the challenge. */
  challengeId: string | null;
  /** The main backend's type of the challenge. */
  challengeType: string | null;
  /** The main backend's id of the event. */
  eventId: string;
  /** When the challenge was completed. */
  occurredAt: Timestamp | null;
  /** As the main backend sent it. */
  payload: unknown;
  /** The user concerned. */
  userId: UserId;
  /** Experience points for the challenge. */
  xpAwarded: number;
}

/** A community as one of its members sees it. */
export interface Community {
  /** Address of the community's picture. */
  avatarUrl: string | null;
  /** The main backend's id of the community. */
  communityId: string;
  /** The group of all its members. */
  defaultGroupId: GroupId | null;
  /** What the community is about. */
  description: string | null;
  /** Whether the member has muted the community. */
  isMuted: boolean;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** Name of the community. */
  name: string;
  /** One's own. */
  role: string;
}

/** A member of a community. */
export interface CommunityMember {
  /** Whether the member has muted the community. */
  isMuted: boolean;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** When the member was last seen; `null` if that is not known or not for the caller to see. */
  lastSeenAt: Timestamp | null;
  /** The user's role: `owner`, `admin` or `member`. */
  role: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** A direct conversation, `conv_{a}_{b}` with the smaller user id first, or a group's id. */
export type ConversationId = string;

/** What sort of conversation it is. */
export type ConversationKind = "direct" | "group" | "community";

/** A direct conversation in a list. */
export interface ConversationSummary {
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The newest message that the caller can see; `null` when it cannot be read. */
  lastMessage: LastMessage | null;
  /** The other user of the conversation. */
  participant: Participant;
  /** Messages of the other participant that the caller has not read; counted up to 200. */
  unreadCount: number;
}

/** Every code an `error` may carry (protocol section 3). */
export const ErrorCode = {
  /** The command needs `authenticate` first; the error has `requiresAuth: true`. */
  AUTH_REQUIRED: "AUTH_REQUIRED",
  /** Over HTTP: the token was revoked, its user does not exist, or username and password do not match. */
  AUTH_FAILED: "AUTH_FAILED",
  /** A field breaks the contract; `field` names it, `details` says what is expected. */
  VALIDATION_ERROR: "VALIDATION_ERROR",
  /** The message is not JSON. */
  INVALID_JSON: "INVALID_JSON",
  /** There is no such command; `details` lists the commands. */
  UNKNOWN_TYPE: "UNKNOWN_TYPE",
  /** One of the two users blocks the other. */
  USER_BLOCKED: "USER_BLOCKED",
  /**
   * The caller does not follow the other user, and `FOLLOW_POLICY` is `enforce`. With `warn`, the default, the answer
   * has this code as its `warning` instead.
   */
  NOT_FOLLOWING: "NOT_FOLLOWING",
  /**
   * The user sent too many messages or other commands, or the address too many requests. Try again after `retryAfter`
   * seconds.
   */
  RATE_LIMIT_EXCEEDED: "RATE_LIMIT_EXCEEDED",
  /** The message is older than `EDIT_WINDOW` (5 minutes by default). */
  EDIT_WINDOW_EXPIRED: "EDIT_WINDOW_EXPIRED",
  /** The caller's role does not allow this command. */
  PERMISSION_DENIED: "PERMISSION_DENIED",
  /**
   * The product does not let this message through; `details` has the reason that its backend gave, which may be empty.
   */
  MESSAGE_REJECTED: "MESSAGE_REJECTED",
  /** It does not exist, or the caller may not know that it does. */
  RESOURCE_NOT_FOUND: "RESOURCE_NOT_FOUND",
  /** The group has `maxMembers` members. */
  GROUP_FULL: "GROUP_FULL",
  /** There are more initial members than the group may have. */
  TOO_MANY_MEMBERS: "TOO_MANY_MEMBERS",
  /** The owner cannot leave; transfer or delete the group instead. */
  OWNER_CANNOT_LEAVE: "OWNER_CANNOT_LEAVE",
  /** The address, the user or the server has too many connections. The connection is closed with 1008. */
  MAX_CONNECTIONS_EXCEEDED: "MAX_CONNECTIONS_EXCEEDED",
  /**
   * Over HTTP: the body is too large. On a WebSocket, a message over `MAX_PAYLOAD_SIZE` closes the connection with 1009
   * instead.
   */
  PAYLOAD_TOO_LARGE: "PAYLOAD_TOO_LARGE",
  /**
   * The service is temporarily unavailable. Try again after `retryAfter` seconds. The command may have been applied, so
   * repeat a send with the same `clientMessageId`.
   */
  SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
  /** An error occurred in the server; its log has the cause under `errorId`. */
  INTERNAL_ERROR: "INTERNAL_ERROR",
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** A group with its members. */
export interface GroupDetails {
  /** The user who created the group. */
  createdBy: UserId;
  /** What the group is about. */
  groupDescription: string;
  /** The group. */
  groupId: GroupId;
  /** Name of the group. */
  groupName: string;
  /** The largest number of members that the group may have. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** Of a community's group only the first ones; `memberCount` counts all. */
  members: GroupMember[];
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
}

/** A group: `group_` and a UUID. */
export type GroupId = string;

/** A member of a group. */
export interface GroupMember {
  /** Whether the user may add members to the group. */
  canAddMembers: boolean;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** `owner`, `admin` or `member` */
  role: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** A conversation in the list, as the caller sees it. */
export interface InboxEntry {
  /** Of communities. */
  communityId?: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Of groups and communities: the same as `conversationId`. */
  groupId?: GroupId;
  /** `direct`, `group`, or `community` for the default group of a community. */
  kind: ConversationKind;
  /** When the newest message was sent, also if that is gone; of a group without any, when the caller joined. */
  lastActivityAt: Timestamp;
  /** The newest message that the caller can see; absent when there is none, or it cannot be read. */
  lastMessage?: Message;
  /** `seq` of the newest message, also if that is gone; 0 when there was none. */
  lastSeq: number;
  /** Whether the caller marked it as unread. */
  markedUnread: boolean;
  /** Of groups and communities, if it has any. */
  metadata?: Metadata;
  /** Until when the caller muted it; absent when it is not muted. */
  mutedUntil?: Timestamp;
  /** Of groups and communities: `owner`, `admin` or `member`. */
  myRole?: string;
  /** Of groups and communities: its name. */
  name?: string;
  /** Of direct conversations: the other user. */
  participant?: InboxParticipant;
  /** Of direct conversations: how far the other user has read. */
  peerReadSeq?: number;
  /** Whether the caller pinned it. */
  pinned: boolean;
  /** The caller has read all messages up to this number. */
  readSeq: number;
  /** Messages of others that the caller has not read, counted to 1,000; 1,000 means at least as many. */
  unreadCount: number;
  /** How many of them mention the caller or everyone, counted likewise. */
  unreadMentions: number;
  /** The conversation's version: it grows with each change that participants can see. */
  version: number;
}

/** The other user of a direct conversation. */
export interface InboxParticipant {
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** Whether the user is online; `false` when one of the two blocks the other. */
  online: boolean;
  /** Address of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Empty when the account is gone. */
  username: string;
}

/** A user as others see one. */
export interface KnownUser {
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** Address of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** The newest message of a conversation. */
export interface LastMessage {
  /** The text, exactly as sent. */
  content: string;
  /** The message. */
  id: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The user who sent the message. */
  senderId: UserId;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** Where a part of a list lies. */
export interface ListPagination {
  /** How many this part has. */
  count: number;
  /** Whether the list goes on after them. */
  hasMore: boolean;
  /** The largest number of entries that this answer could contain. */
  limit: number;
  /** Number of entries skipped before this answer. */
  offset: number;
}

/** A member of a group in a list. */
export interface ListedMember {
  /** Whether the user may add members to the group. */
  canAddMembers: boolean;
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** Whether the user is online. */
  online: boolean;
  /** The user's role: `owner`, `admin` or `member`. */
  role: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** Who is mentioned. */
export type Mention = {
  /** Which event this is. */
  type: "user";
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
} | {
  /** Which event this is. */
  type: "everyone";
  /** Who that is, in the event of the message, live or replayed; a larger group's members are left out. */
  userIds?: UserId[];
};

/** A message, the same in live events, history and replay. */
export interface Message {
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The text, exactly as sent. */
  content: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** When the message was last edited; absent if never. */
  editedAt?: Timestamp;
  /** The group. */
  groupId?: GroupId;
  /** Whether the message was edited. */
  isEdited: boolean;
  /** Whether the message is pinned in the conversation. */
  isPinned: boolean;
  /** In direct conversations: whether the recipient has read the message. */
  isRead?: boolean;
  /**
   * `text`, `announcement` for an announcement in a group, or `system` for what the product says and not the sender:
   * only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is. */
  mentions?: Mention[];
  /** The message. */
  messageId: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** When the message was pinned. */
  pinnedAt?: Timestamp;
  /** The user who pinned the message. */
  pinnedBy?: UserId;
  /** One reaction per user; absent if there are none. */
  reactions?: Reaction[];
  /** In direct conversations: the user to whom the message was sent. */
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  /** The message that this one replies to. */
  replyToMessageId?: MessageId;
  /** The user who sent the message. */
  senderId: UserId;
  /** Username of the user who sent the message. */
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  /**
   * The conversation's version that this message made: in the event of a new message only, and not in pages, which have
   * a version of their own.
   */
  version?: number;
}

/** A message: `msg_` and a UUID of version 7. */
export type MessageId = string;

/** What sort of message it is. */
export type MessageKind = "text" | "announcement" | "system";

/** Which message, and where in its conversation. */
export interface MessagePlace {
  /** The message. */
  messageId: MessageId;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
}

/** What a client or the product's backend attached to a message or a group: any JSON object of at most 4 KiB. */
export type Metadata = Record<string, unknown>;

/** A user who is online. */
export interface OnlineUser {
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** The same as `userId`. */
  id: UserId;
  /** When the user was last online; `null` if that is not known. */
  lastSeen: Timestamp | null;
  /** Address of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** Where a page lies in its history. */
export interface Pagination {
  /** Whether there are more entries than this answer contains. */
  hasMore: boolean;
  /** The largest number of entries that this answer could contain. */
  limit: number;
  /** From the newest; `null` when the page was asked for by `seq` or around a message. */
  offset: number | null;
  /** Number of entries in the whole list that the caller can see. */
  total: number;
}

/** A user as a counterpart. */
export interface Participant {
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** A user who came or went. */
export interface PresentUser {
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** The same as `userId`. */
  id: UserId;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** The caller, as the main backend knows them. */
export interface Profile {
  /** What the user wrote about themselves. */
  bio: string | null;
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** The user's e-mail address. */
  email: string | null;
  /** The same as `userId`. */
  id: UserId;
  /** Address of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** What a user has achieved in a community. */
export interface Progress {
  /** The main backend's id of the community. */
  communityId: string;
  /** Days in a row with a completed challenge. */
  dailyStreak: number;
  /** The main backend's id of the challenge completed last. */
  lastChallengeId: string | null;
  /** The main backend's type of the challenge completed last. */
  lastChallengeType: string | null;
  /** When the last challenge was completed; `null` if none was. */
  lastCompletedAt: Timestamp | null;
  /** Sum of the experience points. */
  totalXp: number;
  /** The user concerned. */
  userId: UserId;
  /** Weeks in a row with a completed challenge. */
  weeklyStreak: number;
}

/** A user's reaction. */
export interface Reaction {
  /** The reaction, usually one emoji. */
  reaction: string;
  /** When the event happened. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** The message that this one answers. */
export interface ReplyPreview {
  /** Cut at 200 characters. */
  content: string;
  /** When it was created. */
  createdAt: Timestamp;
  /** The message. */
  messageId: MessageId;
  /** Username of the user who sent the message. */
  senderUsername: string;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
}

/** A user who was named but not taken. */
export interface SkippedMember {
  /**
   * `RESOURCE_NOT_FOUND`, `USER_BLOCKED`, `NOT_FOLLOWING`, or `PERMISSION_DENIED` for a user whom the caller may not
   * add (`GROUP_ADD_POLICY`), or who is in `MAX_GROUPS_PER_USER` groups
   */
  reason: string;
  /** The user concerned. */
  userId: UserId;
}

/** What a group is now, and what the caller set for oneself; only what changed is there. */
export interface SyncInfo {
  /** When it was created. */
  createdAt?: Timestamp;
  /** The user who created the group. */
  createdBy?: UserId;
  /** What the group is about. */
  groupDescription?: string;
  /** The group. */
  groupId?: GroupId;
  /** Name of the group. */
  groupName?: string;
  /** Whether the caller marked the conversation as unread. */
  markedUnread?: boolean;
  /** The largest number of members that the group may have. */
  maxMembers?: number;
  /** Number of members. */
  memberCount?: number;
  /** Of a group that is told of: absent if it has none. */
  metadata?: Metadata;
  /** Until when the caller muted the conversation; `null` when it is not muted. */
  mutedUntil?: Timestamp | null;
  /** The caller's own role. */
  myRole?: string;
  /** Whether the caller pinned the conversation. */
  pinned?: boolean;
}

/** RFC 3339, UTC, milliseconds. */
export type Timestamp = string;

/** A group as one of its members sees it in a list. */
export interface UserGroup {
  /** The user who created the group. */
  createdBy: UserId;
  /** What the group is about. */
  groupDescription: string;
  /** The group. */
  groupId: GroupId;
  /** Name of the group. */
  groupName: string;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** `seq` of the newest message. */
  lastSeq: number;
  /** The largest number of members that the group may have. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** Absent also of groups at the end of a list that it would make too large; `get_group_info` has it. */
  metadata?: Metadata;
  /** The same. */
  myRole: string;
  /** One's own. */
  role: string;
  /** Number of messages that the caller has not read. */
  unreadCount: number;
}

/** A user: a 64-bit integer as a decimal string. */
export type UserId = string;

/** Why the server closes a connection. */
export const CloseCode = {
  /** The client sent no message for `CONNECTION_TIMEOUT` (300 s by default; `ping` counts), or a newer session replaced this one, after `session_conflict`. */
  Normal: 1000,
  /** Nothing arrived, not even a pong, for `KEEP_ALIVE_TIMEOUT` (60 s by default). */
  KeepAliveLost: 1001,
  /** The client violated RFC 6455. */
  ProtocolViolation: 1002,
  /** The client sent text that is not UTF-8. */
  InvalidUtf8: 1007,
  /** The client did not authenticate in time or failed too often, the address has too many connections or requests, or the token was revoked or has expired. */
  Policy: 1008,
  /** The message was larger than `MAX_PAYLOAD_SIZE` (1 MiB by default). */
  MessageTooLarge: 1009,
  /** An error occurred in the server. */
  Internal: 1011,
  /** The server is restarting. */
  Restart: 1012,
  /** The server is overloaded, the client reads too slowly, or more was lost on the way to it than is replayed. Try again later. */
  TryLater: 1013,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** The announcement is committed. */
export interface AnnouncementSentEvent {
  type: "announcement_sent";
  /** When it was created. */
  createdAt: Timestamp;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The token does not open a session. The connection stays open for another try. */
export interface AuthErrorEvent {
  type: "auth_error";
  /** The error code, for programs. */
  code: AuthErrorCode;
  /** More about the cause, for developers. */
  details: string;
  /** A text for people. */
  message: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Seconds to wait before the next try. */
  retryAfter?: number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** The session is open; the missed events follow, oldest first, then live ones. */
export interface AuthSuccessEvent {
  type: "auth_success";
  /** The name to show; the username if the user chose none. */
  displayName: string;
  /** How many missed events follow. */
  queuedEvents: number;
  /** The session went on under a new token; nothing is replayed. */
  renewed?: boolean;
  /** More was missed than is replayed. */
  replayTruncated?: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** The server's clock. */
  serverTime: Timestamp;
  /** Id of the session, for support and logs. */
  sessionId: string;
  /** When the event happened. */
  timestamp: Timestamp;
  /** The user concerned. */
  user: Profile;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** Whom the caller blocks. */
export interface BlockedUsersEvent {
  type: "blocked_users";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** Those blocked last first. */
  users: KnownUser[];
}

/** One's communities. */
export interface CommunityListEvent {
  type: "community_list";
  /** The caller's communities. */
  communities: Community[];
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A community's members. */
export interface CommunityMembersEvent {
  type: "community_members";
  /** The main backend's id of the community. */
  communityId: string;
  /** The members. */
  members: CommunityMember[];
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** One's own progress in a community. */
export interface CommunityProgressEvent {
  type: "community_progress";
  /** The main backend's id of the community. */
  communityId: string;
  /** The user's progress in the community. */
  progress: Progress;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** For members who are online; not durable. */
export interface CommunityProgressUpdateEvent {
  type: "community_progress_update";
  /** The main backend's id of the community. */
  communityId: string;
  /** Absent when only the progress was set. */
  event: ChallengeEvent | null;
  /** The user's progress in the community. */
  progress: Progress | null;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
}

/** The greeting, before anything else. */
export interface ConnectedEvent {
  type: "connected";
  /** Id of this connection, for support and logs. */
  clientId: string;
  /** A text for people. */
  message: string;
  /** `true`: send `authenticate` first. */
  requiresAuth: boolean;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** A direct conversation was emptied: for both, or for oneself. */
export interface ConversationDeletedEvent {
  type: "conversation_deleted";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether it is gone for everyone, or only for the user who deleted it. */
  deleteForEveryone: boolean;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** All messages up to this number are gone. */
  throughSeq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** How the caller sees a conversation. */
export interface ConversationSettingsEvent {
  type: "conversation_settings";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether the caller marked it as unread. */
  markedUnread: boolean;
  /** Until when the caller muted it; `null` when it is not muted. */
  mutedUntil: Timestamp | null;
  /** Whether the caller pinned it. */
  pinned: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The conversation is open; nothing was stored. */
export interface ConversationStartedEvent {
  type: "conversation_started";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether there are older ones. */
  hasMore: boolean;
  /** The last 50, oldest first. */
  messages: Message[];
  /** The same as `recipient`. */
  participant: Participant;
  /** The other user of the conversation. */
  recipient: Participant;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; what changes later is told with a higher one. */
  version: number;
  /** `NOT_FOLLOWING` */
  warning?: string;
}

/** The caller's direct conversations, the most recently active first. */
export interface ConversationsEvent {
  type: "conversations";
  /** The caller's direct conversations, the most recently active first. */
  conversations: ConversationSummary[];
  /** Where this answer lies in the whole list. */
  pagination: ListPagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** A command was not carried out, or a connection is refused. */
export interface ErrorAnswer {
  type: "error";
  /** For programs. */
  code: ErrorCode;
  /** What has to change for the command to succeed. */
  details: string;
  /** The same as `message`. */
  error: string;
  /** Also in the server's log. */
  errorId?: string;
  /** The field of the command that was wrong. */
  field?: string;
  /** For people. */
  message: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** The `type` of the command. */
  requestType?: string;
  /** `true`: send `authenticate` first. */
  requiresAuth?: boolean;
  /** Whole seconds. */
  retryAfter?: number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** An announcement, for all members. */
export interface GroupAnnouncementEvent {
  type: "group_announcement";
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The text, exactly as sent. */
  content: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** When the message was last edited; absent if never. */
  editedAt?: Timestamp;
  /** The group. */
  groupId?: GroupId;
  /** Whether the message was edited. */
  isEdited: boolean;
  /** Whether the message is pinned in the conversation. */
  isPinned: boolean;
  /** In direct conversations: whether the recipient has read the message. */
  isRead?: boolean;
  /**
   * `text`, `announcement` for an announcement in a group, or `system` for what the product says and not the sender:
   * only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is. */
  mentions?: Mention[];
  /** The message. */
  messageId: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** When the message was pinned. */
  pinnedAt?: Timestamp;
  /** The user who pinned the message. */
  pinnedBy?: UserId;
  /** One reaction per user; absent if there are none. */
  reactions?: Reaction[];
  /** In direct conversations: the user to whom the message was sent. */
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  /** The message that this one replies to. */
  replyToMessageId?: MessageId;
  /** The user who sent the message. */
  senderId: UserId;
  /** Username of the user who sent the message. */
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /**
   * The conversation's version that this message made: in the event of a new message only, and not in pages, which have
   * a version of their own.
   */
  version?: number;
}

/** A new group, for its members; also for a member who is added later. */
export interface GroupCreatedEvent {
  type: "group_created";
  /** The user who created the group. */
  createdBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** Another name for the same object. */
  group: GroupDetails;
  /** What the group is about. */
  groupDescription: string;
  /** The group. */
  groupId: GroupId;
  /** Name of the group. */
  groupName: string;
  /** The largest number of members that the group may have. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** Of a community's group only the first ones; `memberCount` counts all. */
  members: GroupMember[];
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Only for the creator. */
  skippedMembers?: SkippedMember[];
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** A group is gone. */
export interface GroupDeletedEvent {
  type: "group_deleted";
  /** The user who deleted it. */
  deletedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** Whether the group was purged at once. */
  permanent: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** What a group is. */
export interface GroupInfoEvent {
  type: "group_info";
  /** When it was created. */
  createdAt: Timestamp;
  /** The user who created the group. */
  createdBy: UserId;
  /** What the group is about. */
  groupDescription: string;
  /** The group. */
  groupId: GroupId;
  /** Name of the group. */
  groupName: string;
  /** The largest number of members that the group may have. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** At most 200, the owner and admins first; `get_group_members` lists all. */
  members: GroupMember[];
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A group's name, description, size or metadata changed. */
export interface GroupInfoUpdatedEvent {
  type: "group_info_updated";
  /** When it was created. */
  createdAt: Timestamp;
  /** The user who created the group. */
  createdBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** What the group is about. */
  groupDescription: string;
  /** The group. */
  groupId: GroupId;
  /** Name of the group. */
  groupName: string;
  /** The largest number of members that the group may have. */
  maxMembers: number;
  /** Given when so many members came or went at once that they are not told of one by one. */
  memberCount?: number;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The member who changed the group. */
  updatedBy: UserId;
  /** Username of the member who changed the group. */
  updatedByUsername: string;
  /** The conversation's version after this. */
  version: number;
}

/** A group's members. */
export interface GroupMembersEvent {
  type: "group_members";
  /** The group. */
  groupId: GroupId;
  /** The members. */
  members: ListedMember[];
  /** Of a part of the members: to be given as `cursor` for the next part; absent with the last one. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A group message is gone: for everyone, or for oneself. */
export interface GroupMessageDeletedEvent {
  type: "group_message_deleted";
  /** Whether it is gone for everyone, or only for the user who deleted it. */
  deleteForEveryone: boolean;
  /** The user who deleted it. */
  deletedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** A group message has a new text. */
export interface GroupMessageEditedEvent {
  type: "group_message_edited";
  /** The text, exactly as sent. */
  content: string;
  /** When the message was last edited; absent if never. */
  editedAt: Timestamp;
  /** The user who edited the message. */
  editedBy: UserId;
  /** Username of the user who edited the message. */
  editedByUsername: string;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** As it is after this; absent if the message has none. */
  metadata?: Metadata;
  /** The same as `content`. */
  newContent: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** The message is committed. */
export interface GroupMessageSentEvent {
  type: "group_message_sent";
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** `true` if this `clientMessageId` was used before; nothing was stored again. */
  duplicate?: boolean;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** As it was stored; absent of a repetition. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A page of a group's history. */
export interface GroupMessagesEvent {
  type: "group_messages";
  /** The group. */
  groupId: GroupId;
  /** Whether there are newer messages than this page has; only for a page around a message. */
  hasAfter?: boolean;
  /**
   * Whether there are older messages than this page has; only for a page around a message, and then `hasMore` is the
   * same.
   */
  hasBefore?: boolean;
  /** Whether there are more entries than this answer contains. */
  hasMore: boolean;
  /** These three are those of `pagination`. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  /** Number of entries skipped before this answer. */
  offset: number | null;
  /** Where this answer lies in the whole list. */
  pagination: Pagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; what changes later is told with a higher one. */
  version: number;
}

/** Somebody reacts to a group message; it replaces an earlier reaction of the same user. */
export interface GroupReactionAddedEvent {
  type: "group_reaction_added";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The reaction, usually one emoji. */
  reaction: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** Somebody took a reaction to a group message away. */
export interface GroupReactionRemovedEvent {
  type: "group_reaction_removed";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The reaction, usually one emoji. */
  reaction: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** A part of one's list of conversations. */
export interface InboxEvent {
  type: "inbox";
  /** The most recently active first. */
  entries: InboxEntry[];
  /** To be given as `cursor` for the next part; absent with the last one. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /**
   * Unread messages in all conversations, also those not in this part, counted to 1,000; 1,000 means at least as many.
   */
  totalUnread: number;
}

/** A group has a new member. */
export interface MemberAddedEvent {
  type: "member_added";
  /** The member who added the user. */
  addedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** The user's role: `owner`, `admin` or `member`. */
  role: string;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  user: AddedUser;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
  /** `NOT_FOLLOWING`, only for who added. */
  warning?: string;
}

/** An admin became a member. */
export interface MemberDemotedEvent {
  type: "member_demoted";
  /** The owner who demoted the member. */
  demotedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The member's role from now on: `admin` or `member`. */
  newRole: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** The conversation's version after this. */
  version: number;
}

/** A member left a group. */
export interface MemberLeftEvent {
  type: "member_left";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** A member became an admin. */
export interface MemberPromotedEvent {
  type: "member_promoted";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The member's role from now on: `admin` or `member`. */
  newRole: string;
  /** The owner who promoted the member. */
  promotedBy: UserId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** The conversation's version after this. */
  version: number;
}

/** A member was removed from a group; who was removed gets it, too. */
export interface MemberRemovedEvent {
  type: "member_removed";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The member who removed the user. */
  removedBy: UserId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** For each user whom a group message mentions, unless one of the two blocks the other. */
export interface MentionedInGroupEvent {
  type: "mentioned_in_group";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The user who wrote the mention. */
  mentionedBy: UserId;
  /** Username of the user who wrote the mention. */
  mentionedByUsername: string;
  /** The message, unless it was deleted meanwhile. */
  message?: Message;
  /** The message. */
  messageId: MessageId;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version that the message made. */
  version?: number;
}

/** A direct message is gone: for everyone, or for oneself. */
export interface MessageDeletedEvent {
  type: "message_deleted";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether it is gone for everyone, or only for the user who deleted it. */
  deleteForEveryone: boolean;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The message. */
  messageId: MessageId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** All of the sender's messages up to this one reached the recipient. */
export interface MessageDeliveredEvent {
  type: "message_delivered";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The user whom the messages reached. */
  deliveredTo: UserId;
  /** The message. */
  messageId: MessageId;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A direct message has a new text. */
export interface MessageEditedEvent {
  type: "message_edited";
  /** The text, exactly as sent. */
  content: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When the message was last edited; absent if never. */
  editedAt: Timestamp;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The message. */
  messageId: MessageId;
  /** As it is after this; absent if the message has none. */
  metadata?: Metadata;
  /** The same as `content`. */
  newContent: string;
  /** The text before; absent when it cannot be read any more. */
  oldContent?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** A message was pinned. */
export interface MessagePinnedEvent {
  type: "message_pinned";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId?: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The user who pinned the message. */
  pinnedBy: UserId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** This message and all before it were read. */
export interface MessageReadEvent {
  type: "message_read";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The group. */
  groupId?: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The user who read the messages. */
  readBy: UserId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The message is committed. */
export interface MessageSentEvent {
  type: "message_sent";
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** This `clientMessageId` was used before; nothing was stored again. */
  duplicate?: boolean;
  /** The message. */
  messageId: MessageId;
  /** As it was stored; absent of a repetition. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** `NOT_FOLLOWING` */
  warning?: string;
}

/** A pin was taken away. */
export interface MessageUnpinnedEvent {
  type: "message_unpinned";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId?: GroupId;
  /** The message. */
  messageId: MessageId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user who unpinned the message. */
  unpinnedBy: UserId;
  /** The conversation's version after this. */
  version: number;
}

/** A group message, for all members. */
export interface NewGroupMessageEvent {
  type: "new_group_message";
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The text, exactly as sent. */
  content: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** When the message was last edited; absent if never. */
  editedAt?: Timestamp;
  /** The group. */
  groupId?: GroupId;
  /** Whether the message was edited. */
  isEdited: boolean;
  /** Whether the message is pinned in the conversation. */
  isPinned: boolean;
  /** In direct conversations: whether the recipient has read the message. */
  isRead?: boolean;
  /**
   * `text`, `announcement` for an announcement in a group, or `system` for what the product says and not the sender:
   * only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is. */
  mentions?: Mention[];
  /** The message. */
  messageId: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** When the message was pinned. */
  pinnedAt?: Timestamp;
  /** The user who pinned the message. */
  pinnedBy?: UserId;
  /** One reaction per user; absent if there are none. */
  reactions?: Reaction[];
  /** In direct conversations: the user to whom the message was sent. */
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  /** The message that this one replies to. */
  replyToMessageId?: MessageId;
  /** The user who sent the message. */
  senderId: UserId;
  /** Username of the user who sent the message. */
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /**
   * The conversation's version that this message made: in the event of a new message only, and not in pages, which have
   * a version of their own.
   */
  version?: number;
}

/** A direct message, on every connection of both users. */
export interface NewMessageEvent {
  type: "new_message";
  /** The id that the sender's client chose for the message. */
  clientMessageId?: string;
  /** The text, exactly as sent. */
  content: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When it was created. */
  createdAt: Timestamp;
  /** When the message was last edited; absent if never. */
  editedAt?: Timestamp;
  /** The group. */
  groupId?: GroupId;
  /** Whether the message was edited. */
  isEdited: boolean;
  /** Whether the message is pinned in the conversation. */
  isPinned: boolean;
  /** In direct conversations: whether the recipient has read the message. */
  isRead?: boolean;
  /**
   * `text`, `announcement` for an announcement in a group, or `system` for what the product says and not the sender:
   * only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is. */
  mentions?: Mention[];
  /** The message. */
  messageId: MessageId;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** When the message was pinned. */
  pinnedAt?: Timestamp;
  /** The user who pinned the message. */
  pinnedBy?: UserId;
  /** One reaction per user; absent if there are none. */
  reactions?: Reaction[];
  /** In direct conversations: the user to whom the message was sent. */
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  /** The message that this one replies to. */
  replyToMessageId?: MessageId;
  /** The user who sent the message. */
  senderId: UserId;
  /** Username of the user who sent the message. */
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /**
   * The conversation's version that this message made: in the event of a new message only, and not in pages, which have
   * a version of their own.
   */
  version?: number;
}

/** Who is online. */
export interface OnlineUsersEvent {
  type: "online_users";
  /** How many are listed. */
  count: number;
  /** Whether more are online than are listed. */
  hasMore: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The users. */
  users: OnlineUser[];
}

/** A group has another owner; the old one is an admin. */
export interface OwnershipTransferredEvent {
  type: "ownership_transferred";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The previous owner. */
  fromUserId: UserId;
  /** The group. */
  groupId: GroupId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The new owner. */
  toUserId: UserId;
  /** The conversation's version after this. */
  version: number;
}

/** The pinned messages. */
export interface PinnedMessagesEvent {
  type: "pinned_messages";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The group. */
  groupId?: GroupId;
  /** Whether there are more. */
  hasMore: boolean;
  /** Oldest first; at most 200 and 1 MiB of them, those pinned last. */
  messages: Message[];
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; what changes later is told with a higher one. */
  version: number;
}

/** The answer to `ping`. */
export interface PongEvent {
  type: "pong";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Epoch milliseconds. */
  timestamp: number;
}

/** A page of a direct conversation's history. */
export interface PrivateMessagesEvent {
  type: "private_messages";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether there are newer messages than this page has; only for a page around a message. */
  hasAfter?: boolean;
  /**
   * Whether there are older messages than this page has; only for a page around a message, and then `hasMore` is the
   * same.
   */
  hasBefore?: boolean;
  /** Whether there are more entries than this answer contains. */
  hasMore: boolean;
  /** These four are those of `pagination`. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  /** Number of entries skipped before this answer. */
  offset: number | null;
  /** Where this answer lies in the whole list. */
  pagination: Pagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** Number of entries in the whole list that the caller can see. */
  total: number;
  /** The conversation's version; what changes later is told with a higher one. */
  version: number;
}

/** Somebody reacts to a direct message; it replaces an earlier reaction of the same user. */
export interface ReactionAddedEvent {
  type: "reaction_added";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The same as `reaction`. */
  emoji: string;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The message. */
  messageId: MessageId;
  /** The reaction, usually one emoji. */
  reaction: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** Somebody took a reaction to a direct message away. */
export interface ReactionRemovedEvent {
  type: "reaction_removed";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The message. */
  messageId: MessageId;
  /** The reaction, usually one emoji. */
  reaction: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** Another connection of the same user took over. */
export interface SessionConflictEvent {
  type: "session_conflict";
  /** A text for people. */
  message: string;
  /** When the event happened. */
  timestamp: Timestamp;
}

/**
 * What became of the messages that the client holds of one conversation, as it is now: applying it twice changes
 * nothing.
 */
export interface SyncChangesEvent {
  type: "sync_changes";
  /** Changed messages as they are now, each once. */
  changed?: Message[];
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Messages that were deleted for everyone. */
  deleted?: MessagePlace[];
  /** The version that the client had. Absent with `stale`. */
  fromVersion?: number;
  /** There are more changes: a further part follows, or another `sync` from `version` goes on. */
  hasMore?: boolean;
  /** Messages that the caller hid, here or on another device. */
  hidden?: MessagePlace[];
  /** All messages up to this number are gone for the caller. */
  hiddenThroughSeq?: number;
  /** What the group is now, and the caller's own settings, if they changed. */
  info?: SyncInfo;
  /**
   * The changes since the client's version are no longer kept: the client must drop this conversation and load it
   * again.
   */
  stale?: boolean;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The version that it has with this. */
  version: number;
}

/** The end of the series. */
export interface SyncCompleteEvent {
  type: "sync_complete";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** The caller is no longer part of this conversation, or it is gone. */
export interface SyncGoneEvent {
  type: "sync_gone";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The messages of one conversation after the number that the client knows. */
export interface SyncMessagesEvent {
  type: "sync_messages";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** There are more: another `sync` from the last number goes on. */
  hasMore: boolean;
  /** Oldest first. */
  messages: Message[];
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The version that the client has with this and with the changes before it. */
  version: number;
}

/** The answer to `test`. */
export interface TestResponseEvent {
  type: "test_response";
  /** A text for people. */
  message: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Epoch milliseconds. */
  timestamp: number;
}

/** The caller blocks this user from now on. */
export interface UserBlockedEvent {
  type: "user_blocked";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
}

/** One's groups. */
export interface UserGroupsEvent {
  type: "user_groups";
  /** The caller's groups. */
  groups: UserGroup[];
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A user went offline: `OFFLINE_GRACE_PERIOD` (60 s by default) has passed since the last connection closed. */
export interface UserOfflineEvent {
  type: "user_offline";
  /** When the event happened. */
  timestamp: Timestamp;
  /** The user concerned. */
  user: PresentUser;
}

/** A user came online: the first of the user's connections authenticated. */
export interface UserOnlineEvent {
  type: "user_online";
  /** When the event happened. */
  timestamp: Timestamp;
  /** The user concerned. */
  user: PresentUser;
}

/** A user started or stopped typing. */
export interface UserTypingEvent {
  type: "user_typing";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** `true` when the user started typing, `false` when the user stopped. */
  isTyping: boolean;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** The caller does not block this user any more. */
export interface UserUnblockedEvent {
  type: "user_unblocked";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
}

/** Users whose name begins with what was asked for. */
export interface UsersFoundEvent {
  type: "users_found";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** In the order of the name that was found. */
  users: KnownUser[];
}

/** Confirms that messages and events arrived, after `authenticate` with `acks: true`. Only errors are answered. */
export interface AckCommand {
  type: "ack";
  /** For each conversation, the `seq` up to which every message arrived. */
  conversations?: Record<string, number>;
  /** The `eventId`s of the events that arrived. */
  eventIds?: string[];
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Adds a user to a group. Allowed for the owner, admins and members with `canAddMembers`. The new member also receives
 * `group_created`.
 */
export interface AddGroupMemberCommand {
  type: "add_group_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Reacts to a group message. A different reaction replaces the first; the same one again removes it. */
export type AddGroupReactionCommand = {
  type: "add_group_reaction";
  /** Another name for it. */
  emoji?: string;
  /** The message. */
  messageId: string;
  /** Usually one emoji. */
  reaction?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ reaction: string } | { emoji: string });

/** Reacts to a direct message. A different reaction replaces the first; the same one again removes it. */
export type AddReactionCommand = {
  type: "add_reaction";
  /** Another name for it. */
  emoji?: string;
  /** The message. */
  messageId: string;
  /** Usually one emoji. */
  reaction?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ reaction: string } | { emoji: string });

/**
 * Opens the session. Missed events follow the answer, then live events. Sent again for the same user, it renews the
 * session with the new token (`renewed: true`, no replay). Five failures close the connection with 1008.
 */
export interface AuthenticateCommand {
  type: "authenticate";
  /**
   * With `true`, an event counts as delivered when the client confirms it with `ack`; otherwise when it was written.
   */
  acks?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** A JWT with the user id and `exp`. */
  token: string;
}

/**
 * Blocks a user: neither can write to the other, finds the other, or sees whether the other is online. The user is not
 * told. Only where this server keeps the accounts (`BUILTIN_AUTH`).
 */
export interface BlockUserCommand {
  type: "block_user";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user; not oneself. */
  userId: string | number;
}

/**
 * Creates a group with the caller as its owner. Initial members who are unknown or blocked are skipped and listed in
 * `skippedMembers`.
 */
export interface CreateGroupCommand {
  type: "create_group";
  /** What the group is about. */
  groupDescription?: string;
  /** The group's name. */
  groupName: string;
  /** Members besides the creator, up to `maxMembers` with the creator. */
  initialMembers?: (string | number)[];
  /** How many members the group may have. */
  maxMembers?: number;
  /** Another name for it. */
  memberUserIds?: (string | number)[];
  /** What the product wants to keep with it; the server shows it and never looks into it. */
  metadata?: Record<string, unknown>;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Deletes the messages of a direct conversation for both users, or hides them from the caller. A new message makes the
 * conversation visible again.
 */
export interface DeleteConversationCommand {
  type: "delete_conversation";
  /** Either order of the two ids is accepted. */
  conversationId: string;
  /** `true` removes the messages for both. */
  deleteForEveryone?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Deletes a group. Allowed for the owner. The group disappears at once; its data is purged after `GROUP_PURGE_AFTER`
 * (30 days by default), or at once with `permanent`.
 */
export interface DeleteGroupCommand {
  type: "delete_group";
  /** The group. */
  groupId: string;
  /** Purges it at once. */
  permanent?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Deletes a group message. Its sender, the owner and admins can delete it for everyone; any member can hide it from
 * themselves.
 */
export interface DeleteGroupMessageCommand {
  type: "delete_group_message";
  /** `false` hides it for oneself only. */
  deleteForEveryone?: boolean;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Deletes a direct message. Its sender can delete it for everyone; either user can hide it from themselves. */
export interface DeleteMessageCommand {
  type: "delete_message";
  /** `false` hides it for oneself only. */
  deleteForEveryone?: boolean;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Makes an admin an ordinary member. Allowed for the owner. */
export interface DemoteMemberCommand {
  type: "demote_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Changes the text of a group message. Allowed for its sender, within `EDIT_WINDOW` (5 minutes by default). */
export type EditGroupMessageCommand = {
  type: "edit_group_message";
  /** The text, kept exactly as sent. */
  content?: string;
  /** The message. */
  messageId: string;
  /** Replaces the metadata; `null` removes it. Absent, it stays as it is. */
  metadata?: Record<string, unknown> | null;
  /** Another name for it. */
  newContent?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ content: string } | { newContent: string });

/** Changes the text of a direct message. Allowed for its sender, within `EDIT_WINDOW` (5 minutes by default). */
export type EditMessageCommand = {
  type: "edit_message";
  /** The text, kept exactly as sent. */
  content?: string;
  /** The message. */
  messageId: string;
  /** Replaces the metadata; `null` removes it. Absent, it stays as it is. */
  metadata?: Record<string, unknown> | null;
  /** Another name for it. */
  newContent?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ content: string } | { newContent: string });

/**
 * Returns users whose username or display name begins with a text, in any letter case; nobody who blocks the caller or
 * whom the caller blocks. Depending on the setting `USER_SEARCH` among all users, among those who share a conversation,
 * a group or a follow with the caller, or not at all.
 */
export interface FindUsersCommand {
  type: "find_users";
  /** Most users to return. More than 50 becomes 50. */
  limit?: number;
  /** What the name begins with. */
  query: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns the users whom the caller blocks, the latest first; at most 1,000. Only where this server keeps the accounts
 * (`BUILTIN_AUTH`).
 */
export interface GetBlockedUsersCommand {
  type: "get_blocked_users";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the communities that the caller belongs to. */
export interface GetCommunitiesCommand {
  type: "get_communities";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the members of a community. Allowed for its members. */
export interface GetCommunityMembersCommand {
  type: "get_community_members";
  /** The main backend's id of the community. */
  communityId: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the caller's progress in a community. */
export interface GetCommunityProgressCommand {
  type: "get_community_progress";
  /** The main backend's id of the community. */
  communityId: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the caller's direct conversations, the most recently active first. */
export interface GetConversationsCommand {
  type: "get_conversations";
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest; the largest is `MAX_OFFSET`. */
  offset?: number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the name, description and size of a group. Allowed for its members. */
export interface GetGroupInfoCommand {
  type: "get_group_info";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns the members of a group, the owner first, then admins, then members, as they joined: with `limit` or `cursor`
 * a part of them, else all, at most 5,000. Allowed for its members.
 */
export interface GetGroupMembersCommand {
  type: "get_group_members";
  /** `nextCursor` of the part before. Absent, the list begins with its first entry. */
  cursor?: string;
  /** The group. */
  groupId: string;
  /** The size of the part; 50 with only a `cursor`. More than 200 becomes 200. */
  limit?: number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns a page of a group's history, oldest first. Allowed for its members. */
export interface GetGroupMessagesCommand {
  type: "get_group_messages";
  /** Only messages after this number; `offset` is then ignored. */
  afterSeq?: number;
  /** The same, around a message of this conversation. */
  aroundMessageId?: string;
  /**
   * About half of the page before this number, the rest from it on; `beforeSeq`, `afterSeq` and `offset` are then
   * ignored.
   */
  aroundSeq?: number;
  /** Only messages before this number; `offset` is then ignored. */
  beforeSeq?: number;
  /** The group. */
  groupId: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest; the largest is `MAX_OFFSET`. */
  offset?: number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns the caller's conversations, direct ones, groups and communities in one order, the most recently active first,
 * each with its newest message, its read marks and the caller's settings. A direct conversation in which the caller can
 * see no message is left out.
 */
export interface GetInboxCommand {
  type: "get_inbox";
  /** `nextCursor` of the part before. Absent, the list begins with its first entry. */
  cursor?: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns who is online, except the caller and users blocked in either direction: at most `ONLINE_USERS_LIMIT` users
 * (1,000 by default), first those whom the caller follows or shares a conversation with. `hasMore` says whether more
 * are online.
 */
export interface GetOnlineUsersCommand {
  type: "get_online_users";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the pinned messages of a direct conversation or a group. */
export type GetPinnedMessagesCommand = {
  type: "get_pinned_messages";
  /** The conversation. */
  conversationId?: string;
  /** The group. */
  groupId?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/** Returns a page of a direct conversation's history, oldest first. */
export type GetPrivateMessagesCommand = {
  type: "get_private_messages";
  /** Only messages after this number; `offset` is then ignored. */
  afterSeq?: number;
  /** The same, around a message of this conversation. */
  aroundMessageId?: string;
  /**
   * About half of the page before this number, the rest from it on; `beforeSeq`, `afterSeq` and `offset` are then
   * ignored.
   */
  aroundSeq?: number;
  /** Only messages before this number; `offset` is then ignored. */
  beforeSeq?: number;
  /** Either order of the two ids is accepted. */
  conversationId?: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest; the largest is `MAX_OFFSET`. */
  offset?: number;
  /** The other user. */
  recipientId?: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ conversationId: string } | { recipientId: string | number });

/** Returns the groups that the caller belongs to. */
export interface GetUserGroupsCommand {
  type: "get_user_groups";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Leaves a group. The owner cannot leave. */
export interface LeaveGroupCommand {
  type: "leave_group";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Marks a message and all earlier ones as read, in direct conversations and groups. It is always answered; others
 * receive the event only if something changed.
 */
export interface MarkMessageReadCommand {
  type: "mark_message_read";
  /** Where the message is; only checked. */
  conversationId?: string;
  /** The same, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Pins a message for all participants. In groups this is allowed for the owner and admins. Pinning a pinned message is
 * answered and changes nothing.
 */
export type PinMessageCommand = {
  type: "pin_message";
  /** Where the message is. */
  conversationId?: string;
  /** Where the message is, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/** Shows that the client is alive, and counts as activity. */
export interface PingCommand {
  type: "ping";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Makes a member an admin. Allowed for the owner. */
export interface PromoteMemberCommand {
  type: "promote_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Removes a member from a group. The owner can remove anyone, admins only ordinary members. */
export interface RemoveGroupMemberCommand {
  type: "remove_group_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Removes the caller's reaction to a group message. */
export interface RemoveGroupReactionCommand {
  type: "remove_group_reaction";
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Removes the caller's reaction to a direct message. */
export interface RemoveReactionCommand {
  type: "remove_reaction";
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Leaves a group, as the owner, too: the admin who joined first becomes the owner. Without an admin the group is
 * deleted for good.
 */
export interface ResignFromGroupCommand {
  type: "resign_from_group";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Sends an announcement to a group. Allowed for the owner and admins. */
export interface SendAnnouncementCommand {
  type: "send_announcement";
  /** The text, kept exactly as sent. */
  content: string;
  /** The group. */
  groupId: string;
  /** What the product wants to keep with it; the server shows it and never looks into it. */
  metadata?: Record<string, unknown>;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Sends a message to a group. `@username`, `@everyone` and `@all` mention members. The answer confirms that the message
 * is stored.
 */
export interface SendGroupMessageCommand {
  type: "send_group_message";
  /** Chosen by the client. A second send under it stores nothing and is answered with `duplicate: true`. */
  clientMessageId?: string;
  /** The text, kept exactly as sent. */
  content: string;
  /** The group. */
  groupId: string;
  /** What the product wants to keep with it; the server shows it and never looks into it. */
  metadata?: Record<string, unknown>;
  /** Another name for `replyToMessageId`, which counts when both are given. */
  replyTo?: string;
  /** A message of the same conversation that this one answers. */
  replyToMessageId?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Sends a direct message. The answer confirms that the message is stored; without an answer, send it again with the
 * same `clientMessageId`.
 */
export interface SendPrivateMessageCommand {
  type: "send_private_message";
  /** Chosen by the client. A second send under it stores nothing and is answered with `duplicate: true`. */
  clientMessageId?: string;
  /** The text, kept exactly as sent. */
  content: string;
  /** That of the two users, in either order; only checked. */
  conversationId?: string;
  /** What the product wants to keep with it; the server shows it and never looks into it. */
  metadata?: Record<string, unknown>;
  /** Not oneself. */
  recipientId: string | number;
  /** Another name for `replyToMessageId`, which counts when both are given. */
  replyTo?: string;
  /** A message of the same conversation that this one answers. */
  replyToMessageId?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Sets how the caller sees a conversation. What is absent stays as it is. It concerns nobody else; the caller's other
 * connections are told.
 */
export interface SetConversationSettingsCommand {
  type: "set_conversation_settings";
  /** A direct conversation or a group. */
  conversationId: string;
  /** Whether it counts as unread, whatever was read. The next `mark_message_read` in it takes this away. */
  markedUnread?: boolean;
  /** Until when clients should not draw attention to it; `null` ends that. Messages are delivered all the same. */
  mutedUntil?: string | null;
  /** Whether clients should show it before others. */
  pinned?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Opens the direct conversation with a user and returns its last 50 messages. Nothing is stored. */
export interface StartConversationCommand {
  type: "start_conversation";
  /** Not oneself. */
  recipientId: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns, for each conversation, what became of the messages that the client holds since the version that it knows
 * (`sync_changes`), and the messages after its last `seq` (`sync_messages`); or `sync_gone`, if the caller no longer
 * belongs to it. The series ends with `sync_complete`, and a long one comes as fast as the client reads it. After a
 * last part with `hasMore`, another `sync` continues. If only a `seq` is given, only messages are returned, and if the
 * caller does not belong to that conversation, the whole command is rejected.
 */
export interface SyncCommand {
  type: "sync";
  /** Of each conversation the last known `seq` and the `version` up to which it is known. */
  conversations: Record<string, number | {
    seq: number;
    version?: number;
  }>;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Checks that the connection works. */
export interface TestCommand {
  type: "test";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Makes another member the owner of the group. The previous owner becomes an admin. */
export interface TransferOwnershipCommand {
  type: "transfer_ownership";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/**
 * Tells the others that the caller is typing or has stopped. Typing ends by itself 3 s after the last `isTyping: true`.
 * Only errors are answered. If one of the two users blocks the other, nothing happens. In groups with more than 1,000
 * members, nobody is told.
 */
export type TypingCommand = {
  type: "typing";
  /** The group in which one types. */
  groupId?: string;
  /** `false` ends it at once. */
  isTyping: boolean;
  /** Not oneself. */
  recipientId?: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ recipientId: string | number } | { groupId: string });

/** Takes one's own block of a user back. Only where this server keeps the accounts (`BUILTIN_AUTH`). */
export interface UnblockUserCommand {
  type: "unblock_user";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user; not oneself. */
  userId: string | number;
}

/**
 * Unpins a message. In groups this is allowed for the owner and admins. Unpinning a message that is not pinned is
 * answered and changes nothing.
 */
export type UnpinMessageCommand = {
  type: "unpin_message";
  /** Where the message is. */
  conversationId?: string;
  /** Where the message is, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/**
 * Changes the name, description, size or metadata of a group. Allowed for the owner and admins. Absent fields stay
 * unchanged.
 */
export type UpdateGroupInfoCommand = {
  type: "update_group_info";
  /** The new description. */
  groupDescription?: string;
  /** The group. */
  groupId: string;
  /** The new name. */
  groupName?: string;
  /** Not less than the members there are. */
  maxMembers?: number;
  /** Replaces the metadata; `null` removes it. Absent, it stays as it is. */
  metadata?: Record<string, unknown> | null;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ groupName: string } | { groupDescription: string } | { maxMembers: number } | { metadata: Record<string, unknown> | null });

/** Every event by its `type`. */
export interface Events {
  announcement_sent: AnnouncementSentEvent;
  auth_error: AuthErrorEvent;
  auth_success: AuthSuccessEvent;
  blocked_users: BlockedUsersEvent;
  community_list: CommunityListEvent;
  community_members: CommunityMembersEvent;
  community_progress: CommunityProgressEvent;
  community_progress_update: CommunityProgressUpdateEvent;
  connected: ConnectedEvent;
  conversation_deleted: ConversationDeletedEvent;
  conversation_settings: ConversationSettingsEvent;
  conversation_started: ConversationStartedEvent;
  conversations: ConversationsEvent;
  error: ErrorAnswer;
  group_announcement: GroupAnnouncementEvent;
  group_created: GroupCreatedEvent;
  group_deleted: GroupDeletedEvent;
  group_info: GroupInfoEvent;
  group_info_updated: GroupInfoUpdatedEvent;
  group_members: GroupMembersEvent;
  group_message_deleted: GroupMessageDeletedEvent;
  group_message_edited: GroupMessageEditedEvent;
  group_message_sent: GroupMessageSentEvent;
  group_messages: GroupMessagesEvent;
  group_reaction_added: GroupReactionAddedEvent;
  group_reaction_removed: GroupReactionRemovedEvent;
  inbox: InboxEvent;
  member_added: MemberAddedEvent;
  member_demoted: MemberDemotedEvent;
  member_left: MemberLeftEvent;
  member_promoted: MemberPromotedEvent;
  member_removed: MemberRemovedEvent;
  mentioned_in_group: MentionedInGroupEvent;
  message_deleted: MessageDeletedEvent;
  message_delivered: MessageDeliveredEvent;
  message_edited: MessageEditedEvent;
  message_pinned: MessagePinnedEvent;
  message_read: MessageReadEvent;
  message_sent: MessageSentEvent;
  message_unpinned: MessageUnpinnedEvent;
  new_group_message: NewGroupMessageEvent;
  new_message: NewMessageEvent;
  online_users: OnlineUsersEvent;
  ownership_transferred: OwnershipTransferredEvent;
  pinned_messages: PinnedMessagesEvent;
  pong: PongEvent;
  private_messages: PrivateMessagesEvent;
  reaction_added: ReactionAddedEvent;
  reaction_removed: ReactionRemovedEvent;
  session_conflict: SessionConflictEvent;
  sync_changes: SyncChangesEvent;
  sync_complete: SyncCompleteEvent;
  sync_gone: SyncGoneEvent;
  sync_messages: SyncMessagesEvent;
  test_response: TestResponseEvent;
  user_blocked: UserBlockedEvent;
  user_groups: UserGroupsEvent;
  user_offline: UserOfflineEvent;
  user_online: UserOnlineEvent;
  user_typing: UserTypingEvent;
  user_unblocked: UserUnblockedEvent;
  users_found: UsersFoundEvent;
}

/** Everything the server sends; `type` tells which. */
export type ChatEvent = Events[keyof Events];

/** Kept for users who are offline, and told from repetitions by `eventId`. */
export type DurableEvent =
  | ConversationDeletedEvent
  | GroupCreatedEvent
  | GroupDeletedEvent
  | GroupInfoUpdatedEvent
  | GroupMessageDeletedEvent
  | GroupMessageEditedEvent
  | GroupReactionAddedEvent
  | GroupReactionRemovedEvent
  | MemberAddedEvent
  | MemberDemotedEvent
  | MemberLeftEvent
  | MemberPromotedEvent
  | MemberRemovedEvent
  | MentionedInGroupEvent
  | MessageDeletedEvent
  | MessageEditedEvent
  | MessagePinnedEvent
  | MessageUnpinnedEvent
  | OwnershipTransferredEvent
  | ReactionAddedEvent
  | ReactionRemovedEvent;

/** Every command by its `type`. */
export interface Commands {
  ack: AckCommand;
  add_group_member: AddGroupMemberCommand;
  add_group_reaction: AddGroupReactionCommand;
  add_reaction: AddReactionCommand;
  authenticate: AuthenticateCommand;
  block_user: BlockUserCommand;
  create_group: CreateGroupCommand;
  delete_conversation: DeleteConversationCommand;
  delete_group: DeleteGroupCommand;
  delete_group_message: DeleteGroupMessageCommand;
  delete_message: DeleteMessageCommand;
  demote_member: DemoteMemberCommand;
  edit_group_message: EditGroupMessageCommand;
  edit_message: EditMessageCommand;
  find_users: FindUsersCommand;
  get_blocked_users: GetBlockedUsersCommand;
  get_communities: GetCommunitiesCommand;
  get_community_members: GetCommunityMembersCommand;
  get_community_progress: GetCommunityProgressCommand;
  get_conversations: GetConversationsCommand;
  get_group_info: GetGroupInfoCommand;
  get_group_members: GetGroupMembersCommand;
  get_group_messages: GetGroupMessagesCommand;
  get_inbox: GetInboxCommand;
  get_online_users: GetOnlineUsersCommand;
  get_pinned_messages: GetPinnedMessagesCommand;
  get_private_messages: GetPrivateMessagesCommand;
  get_user_groups: GetUserGroupsCommand;
  leave_group: LeaveGroupCommand;
  mark_message_read: MarkMessageReadCommand;
  pin_message: PinMessageCommand;
  ping: PingCommand;
  promote_member: PromoteMemberCommand;
  remove_group_member: RemoveGroupMemberCommand;
  remove_group_reaction: RemoveGroupReactionCommand;
  remove_reaction: RemoveReactionCommand;
  resign_from_group: ResignFromGroupCommand;
  send_announcement: SendAnnouncementCommand;
  send_group_message: SendGroupMessageCommand;
  send_private_message: SendPrivateMessageCommand;
  set_conversation_settings: SetConversationSettingsCommand;
  start_conversation: StartConversationCommand;
  sync: SyncCommand;
  test: TestCommand;
  transfer_ownership: TransferOwnershipCommand;
  typing: TypingCommand;
  unblock_user: UnblockUserCommand;
  unpin_message: UnpinMessageCommand;
  update_group_info: UpdateGroupInfoCommand;
}

/** The direct answer to each command on success. */
export interface Answers {
  ack: undefined;
  add_group_member: MemberAddedEvent;
  add_group_reaction: GroupReactionAddedEvent | GroupReactionRemovedEvent;
  add_reaction: ReactionAddedEvent | ReactionRemovedEvent;
  authenticate: AuthSuccessEvent;
  block_user: UserBlockedEvent;
  create_group: GroupCreatedEvent;
  delete_conversation: ConversationDeletedEvent;
  delete_group: GroupDeletedEvent;
  delete_group_message: GroupMessageDeletedEvent;
  delete_message: MessageDeletedEvent;
  demote_member: MemberDemotedEvent;
  edit_group_message: GroupMessageEditedEvent;
  edit_message: MessageEditedEvent;
  find_users: UsersFoundEvent;
  get_blocked_users: BlockedUsersEvent;
  get_communities: CommunityListEvent;
  get_community_members: CommunityMembersEvent;
  get_community_progress: CommunityProgressEvent;
  get_conversations: ConversationsEvent;
  get_group_info: GroupInfoEvent;
  get_group_members: GroupMembersEvent;
  get_group_messages: GroupMessagesEvent;
  get_inbox: InboxEvent;
  get_online_users: OnlineUsersEvent;
  get_pinned_messages: PinnedMessagesEvent;
  get_private_messages: PrivateMessagesEvent;
  get_user_groups: UserGroupsEvent;
  leave_group: MemberLeftEvent;
  mark_message_read: MessageReadEvent;
  pin_message: MessagePinnedEvent;
  ping: PongEvent;
  promote_member: MemberPromotedEvent;
  remove_group_member: MemberRemovedEvent;
  remove_group_reaction: GroupReactionRemovedEvent;
  remove_reaction: ReactionRemovedEvent;
  resign_from_group: MemberLeftEvent | GroupDeletedEvent;
  send_announcement: AnnouncementSentEvent;
  send_group_message: GroupMessageSentEvent | MessageSentEvent;
  send_private_message: MessageSentEvent | GroupMessageSentEvent;
  set_conversation_settings: ConversationSettingsEvent;
  start_conversation: ConversationStartedEvent;
  sync: SyncCompleteEvent;
  test: TestResponseEvent;
  transfer_ownership: OwnershipTransferredEvent;
  typing: undefined;
  unblock_user: UserUnblockedEvent;
  unpin_message: MessageUnpinnedEvent;
  update_group_info: GroupInfoUpdatedEvent;
}
