// Made by `chatctl docs typescript` from the contract of the server. Do not edit.

/** The user who was added. */
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
  /** It has expired: get a new one. */
  TOKEN_EXPIRED: "TOKEN_EXPIRED",
  /** It was revoked: log in again. */
  TOKEN_REVOKED: "TOKEN_REVOKED",
  /** Its user does not exist. */
  USER_NOT_FOUND: "USER_NOT_FOUND",
  /** A temporary failure; try again after `retryAfter` seconds. */
  SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
} as const;
export type AuthErrorCode = (typeof AuthErrorCode)[keyof typeof AuthErrorCode];

/** A user who is banned from a group. */
export interface BannedMember {
  /** When the ban began. */
  bannedAt: Timestamp;
  /** The member who banned the user. */
  bannedBy: UserId;
  /** Why; absent if no reason was given. */
  reason?: string;
  /** When it ends; absent if somebody has to end it. */
  until?: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

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
  /** URL of the community's picture. */
  avatarUrl: string | null;
  /** The main backend's id of the community. */
  communityId: string;
  /** The group with all its members. */
  defaultGroupId: GroupId | null;
  /** What the community is about. */
  description: string | null;
  /** Whether the member has muted the community. */
  isMuted: boolean;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** Name of the community. */
  name: string;
  /** The caller's role. */
  role: string;
}

/** A member of a community. */
export interface CommunityMember {
  /** Whether the member has muted the community. */
  isMuted: boolean;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** When the member was last seen; `null` if unknown or not visible to the caller. */
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

/** The kind of conversation. */
export type ConversationKind = "direct" | "group" | "community";

/** A direct conversation in a list. */
export interface ConversationSummary {
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The newest message that the caller can see; `null` if it cannot be read. */
  lastMessage: LastMessage | null;
  /** The other user of the conversation. */
  participant: Participant;
  /** Messages of the other participant that the caller has not read; counted up to 200. */
  unreadCount: number;
}

/** A history of the server's database: a UUID. */
export type Epoch = string;

/** Every code that an `error` may have (protocol section 3). */
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
  /** The caller is muted in the group: for `retryAfter` more seconds, or until somebody ends it. */
  MEMBER_MUTED: "MEMBER_MUTED",
  /** The group is in slow mode, and the caller's last message is too recent. Try again after `retryAfter` seconds. */
  SLOW_MODE: "SLOW_MODE",
  /** The user is banned from the group: for `retryAfter` more seconds, or until somebody ends it. */
  MEMBER_BANNED: "MEMBER_BANNED",
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
  /** The maximum number of members of the group. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** At most 200, the owner and admins first; `memberCount` counts all, and `get_group_members` lists them. */
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
  /** For communities: the main backend's id. */
  communityId?: string;
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** For groups and communities: the same as `conversationId`. */
  groupId?: GroupId;
  /** `direct`, `group`, or `community` for the default group of a community. */
  kind: ConversationKind;
  /** When the newest message was sent, even if it is deleted; for a group without messages, when the caller joined. */
  lastActivityAt: Timestamp;
  /** The newest message that the caller can see; absent if there is none, or it cannot be read. */
  lastMessage?: Message;
  /** `seq` of the newest message, even if it is deleted; 0 if there was none. */
  lastSeq: number;
  /** Whether the caller marked it as unread. */
  markedUnread: boolean;
  /** Of groups and communities, if it has any. */
  metadata?: Metadata;
  /** Until when the caller muted it; absent if it is not muted. */
  mutedUntil?: Timestamp;
  /** For groups and communities: `owner`, `admin` or `member`. */
  myRole?: string;
  /** For groups and communities: the name. */
  name?: string;
  /** Of direct conversations: the other user. */
  participant?: InboxParticipant;
  /** For direct conversations: how far the other user has read. */
  peerReadSeq?: number;
  /** Whether the caller pinned it. */
  pinned: boolean;
  /** The caller has read all messages up to this number. */
  readSeq: number;
  /** Messages of others that the caller has not read, counted up to 1,000; 1,000 means that many or more. */
  unreadCount: number;
  /**
   * How many of them mention the caller, or everyone, unless the author or the caller blocks the other; counted in the
   * same way.
   */
  unreadMentions: number;
  /** The conversation's version: it increases with each change that participants can see. */
  version: number;
}

/** The other user of a direct conversation. */
export interface InboxParticipant {
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** Whether the user is online; `false` if one of the two blocks the other. */
  online: boolean;
  /** URL of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Empty if the account was deleted. */
  username: string;
}

/** A user as others see them. */
export interface KnownUser {
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** Whether the user is online; only in `users_found`. */
  online?: boolean;
  /** URL of the user's picture; `null` if there is none. */
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

/** The position of a part in its list. */
export interface ListPagination {
  /** The number of entries in this part. */
  count: number;
  /** Whether more entries follow. */
  hasMore: boolean;
  /** The maximum number of entries in this answer. */
  limit: number;
  /** Number of entries skipped before this answer. */
  offset: number;
}

/** A member of a group in a list. */
export interface ListedMember {
  /** Whether the user may add members to the group. */
  canAddMembers: boolean;
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** When the user joined. */
  joinedAt: Timestamp;
  /** Present while the member may not write. */
  mute?: Sanction;
  /** Whether the user is online. */
  online: boolean;
  /** Up to which message the member has read; absent if nothing since joining, or if one of you blocks the other. */
  readSeq?: number;
  /** The user's role: `owner`, `admin` or `member`. */
  role: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** A user who is mentioned, or everyone. */
export type Mention = {
  /** The type of this event. */
  type: "user";
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
} | {
  /** The type of this event. */
  type: "everyone";
  /** The users that everyone stands for, in the message's live or replayed event; left out in larger groups. */
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
   * `text`, `announcement` for an announcement in a group, or `system` for a message from the product instead of the
   * sender: only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is mentioned. */
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
  /** Absent if the message replied to is gone. */
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

/** The kind of message. */
export type MessageKind = "text" | "announcement" | "system";

/** A message and its position in the conversation. */
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
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** The same as `userId`. */
  id: UserId;
  /** When the user was last online; `null` if unknown. */
  lastSeen: Timestamp | null;
  /** URL of the user's picture; `null` if there is none. */
  profileImage: string | null;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** The position of a page in its history. */
export interface Pagination {
  /** Whether there are more entries than this answer contains. */
  hasMore: boolean;
  /** The maximum number of entries in this answer. */
  limit: number;
  /** Counted from the newest; `null` if the page was requested by `seq` or around a message. */
  offset: number | null;
  /** Number of entries in the whole list that the caller can see. */
  total: number;
}

/** The other user of a direct conversation. */
export interface Participant {
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
}

/** A `user_online` or `user_offline` event. */
export interface PresenceChange {
  /** Whether the user came or went. */
  type: PresenceKind;
  /** When the event happened. */
  timestamp: Timestamp;
  /** The user concerned. */
  user: PresentUser;
}

export type PresenceKind = "user_online" | "user_offline";

/** A user who came online or went offline. */
export interface PresentUser {
  /** The name to show; the username if the user has not chosen one. */
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
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** The user's e-mail address. */
  email: string | null;
  /** The same as `userId`. */
  id: UserId;
  /** URL of the user's picture; `null` if there is none. */
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

/** A report of a message: a UUID. */
export type ReportId = string;

/** A mute or a ban that is in effect. */
export interface Sanction {
  /** Why; absent if no reason was given. */
  reason?: string;
  /** When it ends; absent if somebody has to end it. */
  until?: Timestamp;
}

/** A token with which somebody has connected. */
export interface SignIn {
  /** From where it last connected; of an IPv6 address the network. */
  address: string;
  /** When the token ends. */
  expiresAt: Timestamp;
  /** When it last connected or disconnected. */
  lastSeenAt: Timestamp;
  /** The `jti` of its token. */
  signInId: string;
  /** When it first connected. */
  signedInAt: Timestamp;
  /** What the client said it is (`User-Agent`), cut at 256 characters. */
  userAgent: string | null;
}

/** A user who was named but not added. */
export interface SkippedMember {
  /**
   * `RESOURCE_NOT_FOUND`, `USER_BLOCKED`, `NOT_FOLLOWING`, or `PERMISSION_DENIED` for a user whom the caller may not
   * add (`GROUP_ADD_POLICY`), or who is in `MAX_GROUPS_PER_USER` groups
   */
  reason: string;
  /** The user concerned. */
  userId: UserId;
}

/** A group's present information and the caller's own settings; only what changed is included. */
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
  /** The maximum number of members of the group. */
  maxMembers?: number;
  /** Number of members. */
  memberCount?: number;
  /** The group's metadata; absent if it has none. */
  metadata?: Metadata;
  /** Present while the caller may not write; with `groupId` and without this, the caller may. */
  mute?: Sanction;
  /** Until when the caller muted the conversation; `null` if it is not muted. */
  mutedUntil?: Timestamp | null;
  /** The caller's own role. */
  myRole?: string;
  /** Whether the caller pinned the conversation. */
  pinned?: boolean;
  /** How many seconds an ordinary member has to wait between two messages; 0 if the group is not in slow mode. */
  slowModeSeconds?: number;
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
  /** The maximum number of members of the group. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** Absent also of groups at the end of a list that it would make too large; `get_group_info` has it. */
  metadata?: Metadata;
  /** The same as `role`. */
  myRole: string;
  /** The caller's role. */
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
  /** The server is overloaded, the client reads too slowly, or it missed more than is replayed. Try again later. */
  TryLater: 1013,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** The announcement was stored. */
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

/** The token does not open a session. The connection stays open for another attempt. */
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
  /** Seconds to wait before the next attempt. */
  retryAfter?: number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** The session is open; the missed events follow, oldest first, then live ones. */
export interface AuthSuccessEvent {
  type: "auth_success";
  /** The name to show; the username if the user has not chosen one. */
  displayName: string;
  /** The database's history. If it is another one than before, drop what you hold and load it again. */
  epoch?: Epoch;
  /** How many missed events follow. */
  queuedEvents: number;
  /** The session continues with a new token; nothing is replayed. */
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

/** The users who are banned from a group. */
export interface BannedMembersEvent {
  type: "banned_members";
  /** The group. */
  groupId: GroupId;
  /** The members. */
  members: BannedMember[];
  /** To be given as `cursor` for the next part; absent with the last one. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The users whom the caller blocks. */
export interface BlockedUsersEvent {
  type: "blocked_users";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The last blocked user first. */
  users: KnownUser[];
}

/** The caller's communities. */
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

/** The caller's progress in a community. */
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

/** A member's progress, for members who are online; not durable. */
export interface CommunityProgressUpdateEvent {
  type: "community_progress_update";
  /** The main backend's id of the community. */
  communityId: string;
  /** Absent if only the progress was set. */
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

/** A direct conversation was emptied: for both users, or only for the caller. */
export interface ConversationDeletedEvent {
  type: "conversation_deleted";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether it was deleted for everyone, or only for the user who deleted it. */
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

/** The caller's settings for a conversation. */
export interface ConversationSettingsEvent {
  type: "conversation_settings";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether the caller marked it as unread. */
  markedUnread: boolean;
  /** Until when the caller muted it; `null` if it is not muted. */
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
  /** The last 50 messages, oldest first. */
  messages: Message[];
  /** The same as `recipient`. */
  participant: Participant;
  /** The other user of the conversation. */
  recipient: Participant;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; later changes have a higher one. */
  version: number;
  /** `NOT_FOLLOWING` */
  warning?: string;
}

/** The caller's direct conversations, most recently active first. */
export interface ConversationsEvent {
  type: "conversations";
  /** The caller's direct conversations, most recently active first. */
  conversations: ConversationSummary[];
  /** The position of this answer in the whole list. */
  pagination: ListPagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event happened. */
  timestamp: Timestamp;
}

/**
 * The server's database went back in time while the session was open: the client must drop what it holds and load it
 * again. What was missed since follows.
 */
export interface EpochChangedEvent {
  type: "epoch_changed";
  /** As in `auth_success`. */
  epoch: Epoch;
  /** When the event happened. */
  timestamp: Timestamp;
}

/** A command was rejected, or a connection refused. */
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

/** An announcement, sent to all members. */
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
   * `text`, `announcement` for an announcement in a group, or `system` for a message from the product instead of the
   * sender: only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is mentioned. */
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
  /** Absent if the message replied to is gone. */
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

/** A new group, sent to its members and to members who are added later. */
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
  /** The maximum number of members of the group. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** At most 200, the owner and admins first; `memberCount` counts all, and `get_group_members` lists them. */
  members: GroupMember[];
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Sent only to the creator. */
  skippedMembers?: SkippedMember[];
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** A group was deleted. */
export interface GroupDeletedEvent {
  type: "group_deleted";
  /** The user who deleted it. */
  deletedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** Whether the group was purged immediately. */
  permanent: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version after this. */
  version: number;
}

/** A group's information. */
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
  /** The maximum number of members of the group. */
  maxMembers: number;
  /** Number of members. */
  memberCount: number;
  /** At most 200, the owner and admins first; `get_group_members` lists all. */
  members: GroupMember[];
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** Present while the caller may not write. */
  mute?: Sanction;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** How many seconds an ordinary member has to wait between two messages; 0 if the group is not in slow mode. */
  slowModeSeconds: number;
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
  /** The maximum number of members of the group. */
  maxMembers: number;
  /** Present if too many members came or went at once to announce them one by one. */
  memberCount?: number;
  /** What the sender's client or the product's backend attached; absent if nothing. */
  metadata?: Metadata;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** How many seconds an ordinary member has to wait between two messages; 0 if the group is not in slow mode. */
  slowModeSeconds: number;
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
  /** For a part of the members: send it as `cursor` to get the next part; absent in the last part. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** A group message was deleted: for everyone, or only for the caller. */
export interface GroupMessageDeletedEvent {
  type: "group_message_deleted";
  /** Whether it was deleted for everyone, or only for the user who deleted it. */
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

/** The text of a group message was changed. */
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

/** The message was stored. */
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
  /** The same as in `pagination`, like the next two. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  /** Number of entries skipped before this answer. */
  offset: number | null;
  /** The position of this answer in the whole list. */
  pagination: Pagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; later changes have a higher one. */
  version: number;
}

/** A user reacted to a group message; this replaces the user's earlier reaction. */
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

/** A user removed a reaction to a group message. */
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

/** A part of the caller's list of conversations. */
export interface InboxEvent {
  type: "inbox";
  /** Most recently active first. */
  entries: InboxEntry[];
  /** Send it as `cursor` to get the next part; absent in the last part. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /**
   * Unread messages in all conversations, including those not in this part, counted up to 1,000; 1,000 means that many
   * or more.
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
  /** `NOT_FOLLOWING`, sent only to the user who added the member. */
  warning?: string;
}

/** A user may not be in the group. If the user was a member, `member_removed` follows; the user gets both. */
export interface MemberBannedEvent {
  type: "member_banned";
  /** The member who banned the user. */
  bannedBy: UserId;
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** Why; absent if no reason was given. */
  reason?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** When it ends; absent if somebody has to end it. */
  until?: Timestamp;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
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

/** A member may not write in the group. */
export interface MemberMutedEvent {
  type: "member_muted";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The member who muted the user. */
  mutedBy: UserId;
  /** Why; absent if no reason was given. */
  reason?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** When it ends; absent if somebody has to end it. */
  until?: Timestamp;
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

/** A member was removed from a group; the removed user gets this event, too. */
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

/** A ban was ended before its time. One that ends by itself has no event. */
export interface MemberUnbannedEvent {
  type: "member_unbanned";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The member who ended the ban. */
  unbannedBy: UserId;
  /** The user concerned. */
  userId: UserId;
  /** Username of the user concerned. */
  username: string;
  /** The conversation's version after this. */
  version: number;
}

/** A mute was ended before its time. One that ends by itself has no event. */
export interface MemberUnmutedEvent {
  type: "member_unmuted";
  /** Identifies repetitions of this event; not in the direct answer. */
  eventId?: string;
  /** The group. */
  groupId: GroupId;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The member who ended the mute. */
  unmutedBy: UserId;
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

/** A direct message was deleted: for everyone, or only for the caller. */
export interface MessageDeletedEvent {
  type: "message_deleted";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** Whether it was deleted for everyone, or only for the user who deleted it. */
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

/** All of the sender's messages up to this one have reached the recipient. */
export interface MessageDeliveredEvent {
  type: "message_delivered";
  /** The conversation; for a group this is the group id. */
  conversationId: ConversationId;
  /** The user to whom the messages were delivered. */
  deliveredTo: UserId;
  /** The message. */
  messageId: MessageId;
  /** Number of the message in its conversation, counted from 1. */
  seq: number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The text of a direct message was changed. */
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
  /** The previous text; absent if it can no longer be read. */
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

/** The report was stored, or had been stored before. */
export interface MessageReportedEvent {
  type: "message_reported";
  /** The message. */
  messageId: MessageId;
  /** The moderators know the report by it. */
  reportId: ReportId;
  /** When the caller first reported the message. */
  reportedAt: Timestamp;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** The message was stored. */
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

/** A message was unpinned. */
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

/** A group message, sent to all members. */
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
   * `text`, `announcement` for an announcement in a group, or `system` for a message from the product instead of the
   * sender: only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is mentioned. */
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
  /** Absent if the message replied to is gone. */
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

/** A direct message, sent to every connection of both users. */
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
   * `text`, `announcement` for an announcement in a group, or `system` for a message from the product instead of the
   * sender: only its backend sends and edits it.
   */
  kind: MessageKind;
  /** Everyone who is mentioned, each once, in the order of the text; absent if nobody is mentioned. */
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
  /** Absent if the message replied to is gone. */
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
  /** The number of users listed. */
  count: number;
  /** Whether more are online than are listed. */
  hasMore: boolean;
  /** Where the next part begins; missing at the end, and in an answer that is not a part. */
  nextCursor?: string;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The users. */
  users: OnlineUser[];
}

/** A group has a new owner; the previous one is now an admin. */
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
  /** Oldest first; the last pinned ones, at most 200 and 1 MiB. */
  messages: Message[];
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The conversation's version; later changes have a higher one. */
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

/**
 * Users came online and went offline: all changes of a quarter of a second in their order, so the last one of a user
 * counts; of up to a second where a gateway has more than 5,000 connections. Only for connections that authenticated
 * with `presenceBatches: true`; others get each change as `user_online` or `user_offline`.
 */
export interface PresenceChangedEvent {
  type: "presence_changed";
  /** Oldest first. */
  changes: PresenceChange[];
  /** When the event happened. */
  timestamp: Timestamp;
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
  /** The same as in `pagination`, like the next three. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  /** Number of entries skipped before this answer. */
  offset: number | null;
  /** The position of this answer in the whole list. */
  pagination: Pagination;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** Number of entries in the whole list that the caller can see. */
  total: number;
  /** The conversation's version; later changes have a higher one. */
  version: number;
}

/** A user reacted to a direct message; this replaces the user's earlier reaction. */
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

/** A user removed a reaction to a direct message. */
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

/** The sign-in is over, or all others are. */
export interface SignInEndedEvent {
  type: "sign_in_ended";
  /** Whether all others ended and this one stays. */
  others: boolean;
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** The one that was named. */
  signInId: string;
  /** When the event was sent. */
  timestamp: Timestamp;
}

/** Where the caller is signed in. */
export interface SignInsEvent {
  type: "sign_ins";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** Those seen last first. */
  signIns: SignIn[];
  /** When the event was sent. */
  timestamp: Timestamp;
}

/**
 * Changes to the messages of one conversation that the client holds. They describe the present state, so applying them
 * twice does no harm.
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
  /** There are more changes: another part follows, or another `sync` from `version` continues. */
  hasMore?: boolean;
  /** Messages that the caller hid, here or on another device. */
  hidden?: MessagePlace[];
  /** All messages up to this number are gone for the caller. */
  hiddenThroughSeq?: number;
  /** The group's present information and the caller's own settings, if they changed. */
  info?: SyncInfo;
  /**
   * The changes since the client's version are no longer kept: the client must drop this conversation and load it
   * again.
   */
  stale?: boolean;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The version that the client has after this. */
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
  /** There are more: another `sync` from the last number continues. */
  hasMore: boolean;
  /** Oldest first. */
  messages: Message[];
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The version that the client has after this and the preceding changes. */
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

/** The caller's groups. */
export interface UserGroupsEvent {
  type: "user_groups";
  /** The caller's groups. */
  groups: UserGroup[];
  /** To be given as `cursor` for the next part; absent with the last one. */
  nextCursor?: string;
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

/** The caller no longer blocks this user. */
export interface UserUnblockedEvent {
  type: "user_unblocked";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** The user concerned. */
  userId: UserId;
}

/** Users whose name begins with the query. */
export interface UsersFoundEvent {
  type: "users_found";
  /** The `requestId` of the command; only in its direct answer. */
  requestId?: string | number;
  /** When the event was sent. */
  timestamp: Timestamp;
  /** In the order of the matching name. */
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
  /**
   * With `true`, one `presence_changed` reports everyone who came online or went offline within a quarter of a second
   * (up to a second on large gateways); otherwise each is reported by a `user_online` or `user_offline`. With
   * `PRESENCE_SCOPE=contacts` nothing is batched.
   */
  presenceBatches?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** A JWT with the user id and `exp`. */
  token: string;
}

/**
 * Removes a user from a group, and keeps the user out of it: nobody can add the user until the ban ends. The owner can
 * ban anyone, admins all but admins; the user need not be a member. In the group of a community, the user stays a
 * member of the community, and comes back with its next update after the ban.
 */
export interface BanMemberCommand {
  type: "ban_member";
  /** The group. */
  groupId: string;
  /** Why; shown to the members of the group and to the user. */
  reason?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** How long it lasts. Absent, it lasts until it is ended. */
  seconds?: number;
  /** The user concerned. */
  userId: string | number;
}

/**
 * Blocks a user: neither can write to the other, finds the other, or sees if the other is online. The blocked user is
 * not notified. Only available if this server keeps the accounts (`BUILTIN_AUTH`).
 */
export interface BlockUserCommand {
  type: "block_user";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user; not the caller. */
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
  /** The other members; with the creator, up to `maxMembers`. */
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
  /** Purges it immediately. */
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
  /** `false` hides it from the caller only. */
  deleteForEveryone?: boolean;
  /** The message. */
  messageId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Deletes a direct message. Its sender can delete it for everyone; either user can hide it from themselves. */
export interface DeleteMessageCommand {
  type: "delete_message";
  /** `false` hides it from the caller only. */
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
 * Revokes the token of one of the caller's sign-ins, or those of all others; their connections are closed with 1008
 * within 5 s. Only where this server keeps the accounts (`BUILTIN_AUTH`).
 */
export interface EndSignInCommand {
  type: "end_sign_in";
  /** Whether all others end and this one stays. */
  others?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The `jti` of its token, as in `sign_ins`. */
  signInId: string;
}

/**
 * Returns users whose username or display name begins with a text, in any letter case; nobody who blocks the caller or
 * whom the caller blocks. Depending on the setting `USER_SEARCH` among all users, among those who share a conversation,
 * a group or a follow with the caller, or not at all.
 */
export interface FindUsersCommand {
  type: "find_users";
  /** The maximum number of users to return. More than 50 becomes 50. */
  limit?: number;
  /** The beginning of the name. */
  query: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/** Returns the users who are banned from a group, in parts, by their ids. Allowed for the owner and admins. */
export interface GetBannedMembersCommand {
  type: "get_banned_members";
  /** `nextCursor` of the previous part. If absent, the list starts at its first entry. */
  cursor?: string;
  /** The group. */
  groupId: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
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
  /** `nextCursor` of the previous part. If absent, the list starts at its first entry. */
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
  /** `nextCursor` of the previous part. If absent, the list starts at its first entry. */
  cursor?: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns who is online, except the caller and users blocked in either direction: with `limit` or `cursor` a part of
 * them, in no order that means anything; everybody who stays online meanwhile is in exactly one part. Without, at most
 * `ONLINE_USERS_LIMIT` users (1,000 by default), first those whom the caller follows or shares a conversation with.
 * `hasMore` says whether more are online.
 */
export interface GetOnlineUsersCommand {
  type: "get_online_users";
  /** `nextCursor` of the previous part. If absent, the list starts at its first entry. */
  cursor?: string;
  /**
   * The size of the part; 50 with only a `cursor`. More than 200 becomes 200. A part has fewer users where some are
   * hidden.
   */
  limit?: number;
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

/**
 * Returns where the caller is signed in: the tokens with which somebody has connected and which are still valid, those
 * seen last first; at most 100. Only where this server keeps the accounts (`BUILTIN_AUTH`).
 */
export interface GetSignInsCommand {
  type: "get_sign_ins";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Returns the groups that the caller belongs to, the most recently active first: with `limit` or `cursor` a part of
 * them, else as many as an answer holds, at most 2,000.
 */
export interface GetUserGroupsCommand {
  type: "get_user_groups";
  /** `nextCursor` of the previous part. If absent, the list starts at its first entry. */
  cursor?: string;
  /** The size of the part; 50 with only a `cursor`. More than 200 becomes 200. */
  limit?: number;
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
 * Keeps a member of a group from sending and editing messages and from adding reactions; these get `MEMBER_MUTED`. The
 * owner can mute anyone, admins only ordinary members. It also holds when the member leaves and comes back, and
 * replaces an earlier one.
 */
export interface MuteMemberCommand {
  type: "mute_member";
  /** The group. */
  groupId: string;
  /** Why; shown to the members of the group and to the user. */
  reason?: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** How long it lasts. Absent, it lasts until it is ended. */
  seconds?: number;
  /** The user concerned. */
  userId: string | number;
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
 * Reports somebody else's message to the moderators of the product, for anyone who can read it. Nobody in the
 * conversation is told. A second report of the same message gets the first one's answer.
 */
export interface ReportMessageCommand {
  type: "report_message";
  /** The message. */
  messageId: string;
  /** What is wrong with it. */
  reason: string;
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
  /** The conversation of the two users, in either order of ids; only checked. */
  conversationId?: string;
  /** What the product wants to keep with it; the server shows it and never looks into it. */
  metadata?: Record<string, unknown>;
  /** Not the caller. */
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
  /** Whether it counts as unread, regardless of what was read. The next `mark_message_read` in it resets this. */
  markedUnread?: boolean;
  /** Until when clients should not draw attention to it; `null` unmutes. Messages are delivered anyway. */
  mutedUntil?: string | null;
  /** Whether clients should show it before other conversations. */
  pinned?: boolean;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
}

/**
 * Lets ordinary members of a group send one message per so many seconds; more get `SLOW_MODE`. Allowed for the owner
 * and admins, to whom it does not apply.
 */
export interface SetSlowModeCommand {
  type: "set_slow_mode";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The time between two messages of a member; 0 turns slow mode off. */
  seconds: number;
}

/** Opens the direct conversation with a user and returns its last 50 messages. Nothing is stored. */
export interface StartConversationCommand {
  type: "start_conversation";
  /** Not the caller. */
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
  /** For each conversation, the last known `seq` and the `version` up to which changes are known. */
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
  /** The group in which the caller is typing. */
  groupId?: string;
  /** `false` ends it immediately. */
  isTyping: boolean;
  /** Not the caller. */
  recipientId?: string | number;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
} & ({ recipientId: string | number } | { groupId: string });

/**
 * Ends the ban of a user from a group. The user is not a member again until somebody adds the user. The rights are
 * those of `ban_member`.
 */
export interface UnbanMemberCommand {
  type: "unban_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Ends the caller's block of a user. Only available if this server keeps the accounts (`BUILTIN_AUTH`). */
export interface UnblockUserCommand {
  type: "unblock_user";
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user; not the caller. */
  userId: string | number;
}

/** Ends the mute of a user in a group. The rights are those of `mute_member`. */
export interface UnmuteMemberCommand {
  type: "unmute_member";
  /** The group. */
  groupId: string;
  /** Repeated in the direct answer, also in an error. */
  requestId?: string | number;
  /** The user concerned. */
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
  /** At least the current number of members. */
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
  banned_members: BannedMembersEvent;
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
  epoch_changed: EpochChangedEvent;
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
  member_banned: MemberBannedEvent;
  member_demoted: MemberDemotedEvent;
  member_left: MemberLeftEvent;
  member_muted: MemberMutedEvent;
  member_promoted: MemberPromotedEvent;
  member_removed: MemberRemovedEvent;
  member_unbanned: MemberUnbannedEvent;
  member_unmuted: MemberUnmutedEvent;
  mentioned_in_group: MentionedInGroupEvent;
  message_deleted: MessageDeletedEvent;
  message_delivered: MessageDeliveredEvent;
  message_edited: MessageEditedEvent;
  message_pinned: MessagePinnedEvent;
  message_read: MessageReadEvent;
  message_reported: MessageReportedEvent;
  message_sent: MessageSentEvent;
  message_unpinned: MessageUnpinnedEvent;
  new_group_message: NewGroupMessageEvent;
  new_message: NewMessageEvent;
  online_users: OnlineUsersEvent;
  ownership_transferred: OwnershipTransferredEvent;
  pinned_messages: PinnedMessagesEvent;
  pong: PongEvent;
  presence_changed: PresenceChangedEvent;
  private_messages: PrivateMessagesEvent;
  reaction_added: ReactionAddedEvent;
  reaction_removed: ReactionRemovedEvent;
  session_conflict: SessionConflictEvent;
  sign_in_ended: SignInEndedEvent;
  sign_ins: SignInsEvent;
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

/** Everything the server sends, distinguished by `type`. */
export type ChatEvent = Events[keyof Events];

/** Kept for users who are offline; `eventId` identifies repetitions. */
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
  | MemberBannedEvent
  | MemberDemotedEvent
  | MemberLeftEvent
  | MemberMutedEvent
  | MemberPromotedEvent
  | MemberRemovedEvent
  | MemberUnbannedEvent
  | MemberUnmutedEvent
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
  ban_member: BanMemberCommand;
  block_user: BlockUserCommand;
  create_group: CreateGroupCommand;
  delete_conversation: DeleteConversationCommand;
  delete_group: DeleteGroupCommand;
  delete_group_message: DeleteGroupMessageCommand;
  delete_message: DeleteMessageCommand;
  demote_member: DemoteMemberCommand;
  edit_group_message: EditGroupMessageCommand;
  edit_message: EditMessageCommand;
  end_sign_in: EndSignInCommand;
  find_users: FindUsersCommand;
  get_banned_members: GetBannedMembersCommand;
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
  get_sign_ins: GetSignInsCommand;
  get_user_groups: GetUserGroupsCommand;
  leave_group: LeaveGroupCommand;
  mark_message_read: MarkMessageReadCommand;
  mute_member: MuteMemberCommand;
  pin_message: PinMessageCommand;
  ping: PingCommand;
  promote_member: PromoteMemberCommand;
  remove_group_member: RemoveGroupMemberCommand;
  remove_group_reaction: RemoveGroupReactionCommand;
  remove_reaction: RemoveReactionCommand;
  report_message: ReportMessageCommand;
  resign_from_group: ResignFromGroupCommand;
  send_announcement: SendAnnouncementCommand;
  send_group_message: SendGroupMessageCommand;
  send_private_message: SendPrivateMessageCommand;
  set_conversation_settings: SetConversationSettingsCommand;
  set_slow_mode: SetSlowModeCommand;
  start_conversation: StartConversationCommand;
  sync: SyncCommand;
  test: TestCommand;
  transfer_ownership: TransferOwnershipCommand;
  typing: TypingCommand;
  unban_member: UnbanMemberCommand;
  unblock_user: UnblockUserCommand;
  unmute_member: UnmuteMemberCommand;
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
  ban_member: MemberBannedEvent;
  block_user: UserBlockedEvent;
  create_group: GroupCreatedEvent;
  delete_conversation: ConversationDeletedEvent;
  delete_group: GroupDeletedEvent;
  delete_group_message: GroupMessageDeletedEvent;
  delete_message: MessageDeletedEvent;
  demote_member: MemberDemotedEvent;
  edit_group_message: GroupMessageEditedEvent;
  edit_message: MessageEditedEvent;
  end_sign_in: SignInEndedEvent;
  find_users: UsersFoundEvent;
  get_banned_members: BannedMembersEvent;
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
  get_sign_ins: SignInsEvent;
  get_user_groups: UserGroupsEvent;
  leave_group: MemberLeftEvent;
  mark_message_read: MessageReadEvent;
  mute_member: MemberMutedEvent;
  pin_message: MessagePinnedEvent;
  ping: PongEvent;
  promote_member: MemberPromotedEvent;
  remove_group_member: MemberRemovedEvent;
  remove_group_reaction: GroupReactionRemovedEvent;
  remove_reaction: ReactionRemovedEvent;
  report_message: MessageReportedEvent;
  resign_from_group: MemberLeftEvent | GroupDeletedEvent;
  send_announcement: AnnouncementSentEvent;
  send_group_message: GroupMessageSentEvent | MessageSentEvent;
  send_private_message: MessageSentEvent | GroupMessageSentEvent;
  set_conversation_settings: ConversationSettingsEvent;
  set_slow_mode: GroupInfoUpdatedEvent;
  start_conversation: ConversationStartedEvent;
  sync: SyncCompleteEvent;
  test: TestResponseEvent;
  transfer_ownership: OwnershipTransferredEvent;
  typing: undefined;
  unban_member: MemberUnbannedEvent;
  unblock_user: UserUnblockedEvent;
  unmute_member: MemberUnmutedEvent;
  unpin_message: MessageUnpinnedEvent;
  update_group_info: GroupInfoUpdatedEvent;
}
