// Made by `chatctl docs typescript` from the contract of the server. Do not edit.

/** Who was added. */
export interface AddedUser {
  userId: UserId;
  username: string;
}

/** Why a token does not open a session. */
export const AuthErrorCode = {
  /** There is no `token`. */
  TOKEN_MISSING: "TOKEN_MISSING",
  /** It is no JWT, not signed by whom it should be, or lacks a claim. */
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
  challengeId: string | null;
  challengeType: string | null;
  eventId: string;
  occurredAt: Timestamp | null;
  /** As the main backend sent it. */
  payload: unknown;
  userId: UserId;
  xpAwarded: number;
}

/** A community as one of its members sees it. */
export interface Community {
  avatarUrl: string | null;
  communityId: string;
  /** The group of all its members. */
  defaultGroupId: GroupId | null;
  description: string | null;
  isMuted: boolean;
  joinedAt: Timestamp;
  name: string;
  /** One's own. */
  role: string;
}

/** A member of a community. */
export interface CommunityMember {
  isMuted: boolean;
  joinedAt: Timestamp;
  lastSeenAt: Timestamp | null;
  role: string;
  userId: UserId;
  username: string;
}

/** A direct conversation, `conv_{a}_{b}` with the smaller user id first, or a group's id. */
export type ConversationId = string;

/** A direct conversation in a list. */
export interface ConversationSummary {
  conversationId: ConversationId;
  /** The newest message that the caller can see; `null` when it cannot be read. */
  lastMessage: LastMessage | null;
  participant: Participant;
  /** Messages of the other participant that the caller has not read; counted up to 200. */
  unreadCount: number;
}

/** Every code an `error` may carry (protocol section 3). */
export const ErrorCode = {
  /** The command needs `authenticate` first; the error has `requiresAuth: true`. */
  AUTH_REQUIRED: "AUTH_REQUIRED",
  /** Over HTTP: the token was revoked or its user does not exist, or username and password do not fit. */
  AUTH_FAILED: "AUTH_FAILED",
  /** A field breaks the contract; `field` names it, `details` says what is expected. */
  VALIDATION_ERROR: "VALIDATION_ERROR",
  /** The message is not JSON. */
  INVALID_JSON: "INVALID_JSON",
  /** There is no such command; `details` lists all. */
  UNKNOWN_TYPE: "UNKNOWN_TYPE",
  /** One of the two users blocks the other. */
  USER_BLOCKED: "USER_BLOCKED",
  /**
   * The caller does not follow the other user, and the server insists on it (`FOLLOW_POLICY=enforce`). Otherwise only a
   * `warning` in the answer.
   */
  NOT_FOLLOWING: "NOT_FOLLOWING",
  /**
   * Too many messages or other commands of this user, or requests of this address; again after `retryAfter` seconds.
   */
  RATE_LIMIT_EXCEEDED: "RATE_LIMIT_EXCEEDED",
  /** A message can be edited for 5 minutes. */
  EDIT_WINDOW_EXPIRED: "EDIT_WINDOW_EXPIRED",
  /** The caller's role does not allow it. */
  PERMISSION_DENIED: "PERMISSION_DENIED",
  /** It does not exist, or the caller may not know that it does. */
  RESOURCE_NOT_FOUND: "RESOURCE_NOT_FOUND",
  /** The group has `maxMembers` members. */
  GROUP_FULL: "GROUP_FULL",
  /** More initial members than the group may have. */
  TOO_MANY_MEMBERS: "TOO_MANY_MEMBERS",
  /** The owner transfers or deletes the group instead. */
  OWNER_CANNOT_LEAVE: "OWNER_CANNOT_LEAVE",
  /** Too many connections of this address, of this user, or on this server; the connection is closed with 1008. */
  MAX_CONNECTIONS_EXCEEDED: "MAX_CONNECTIONS_EXCEEDED",
  /** Over HTTP: the body is over its bound. On the WebSocket a message over 1 MiB closes the connection with 1009. */
  PAYLOAD_TOO_LARGE: "PAYLOAD_TOO_LARGE",
  /**
   * For the moment; again after `retryAfter` seconds. What was sent may have been carried out: repeat sends under the
   * same `clientMessageId`.
   */
  SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
  /** A fault of the server; `errorId` finds it in its log. */
  INTERNAL_ERROR: "INTERNAL_ERROR",
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** A group with its members. */
export interface GroupDetails {
  createdBy: UserId;
  groupDescription: string;
  groupId: GroupId;
  groupName: string;
  maxMembers: number;
  memberCount: number;
  /** Of a community's group only the first ones; `memberCount` counts all. */
  members: GroupMember[];
}

/** A group: `group_` and a UUID. */
export type GroupId = string;

/** A member of a group. */
export interface GroupMember {
  canAddMembers: boolean;
  joinedAt: Timestamp;
  /** `owner`, `admin` or `member` */
  role: string;
  userId: UserId;
  username: string;
}

/** The newest message of a conversation. */
export interface LastMessage {
  content: string;
  id: MessageId;
  senderId: UserId;
  timestamp: Timestamp;
}

/** Where a part of a list lies. */
export interface ListPagination {
  /** How many this part has. */
  count: number;
  limit: number;
  offset: number;
}

/** A member of a group in a list. */
export interface ListedMember {
  canAddMembers: boolean;
  displayName: string;
  joinedAt: Timestamp;
  online: boolean;
  role: string;
  userId: UserId;
  username: string;
}

/** Who is mentioned. */
export type Mention = {
  type: "user";
  userId: UserId;
  username: string;
} | {
  type: "everyone";
  /** Who that is, in the live event; a larger group's members are left out. */
  userIds?: UserId[];
};

/** A message, the same in live events, history and replay. */
export interface Message {
  clientMessageId?: string;
  content: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  editedAt?: Timestamp;
  groupId?: GroupId;
  isEdited: boolean;
  isPinned: boolean;
  isRead?: boolean;
  kind: MessageKind;
  mentions?: Mention[];
  messageId: MessageId;
  pinnedAt?: Timestamp;
  pinnedBy?: UserId;
  reactions?: Reaction[];
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  replyToMessageId?: MessageId;
  senderId: UserId;
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
}

/** A message: `msg_` and a UUID of version 7. */
export type MessageId = string;

/** What sort of message it is. */
export type MessageKind = "text" | "announcement";

/** A user who is online. */
export interface OnlineUser {
  displayName: string;
  id: UserId;
  lastSeen: Timestamp | null;
  profileImage: string | null;
  userId: UserId;
  username: string;
}

/** Where a page lies in its history. */
export interface Pagination {
  hasMore: boolean;
  limit: number;
  /** From the newest; `null` when the page was asked for by `seq`. */
  offset: number | null;
  total: number;
}

/** A user as a counterpart. */
export interface Participant {
  displayName: string;
  userId: UserId;
  username: string;
}

/** A user who came or went. */
export interface PresentUser {
  displayName: string;
  id: UserId;
  userId: UserId;
  username: string;
}

/** Oneself, as the main backend knows one. */
export interface Profile {
  bio: string | null;
  displayName: string;
  email: string | null;
  id: UserId;
  profileImage: string | null;
  userId: UserId;
  username: string;
}

/** What a user has achieved in a community. */
export interface Progress {
  communityId: string;
  dailyStreak: number;
  lastChallengeId: string | null;
  lastChallengeType: string | null;
  lastCompletedAt: Timestamp | null;
  totalXp: number;
  userId: UserId;
  weeklyStreak: number;
}

/** A user's reaction. */
export interface Reaction {
  reaction: string;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** The message that this one answers. */
export interface ReplyPreview {
  /** Cut at 200 characters. */
  content: string;
  createdAt: Timestamp;
  messageId: MessageId;
  senderUsername: string;
}

/** A user who was named but not taken. */
export interface SkippedMember {
  /** `RESOURCE_NOT_FOUND`, `USER_BLOCKED` or `NOT_FOLLOWING` */
  reason: string;
  userId: UserId;
}

/** RFC 3339, UTC, milliseconds. */
export type Timestamp = string;

/** A group as one of its members sees it in a list. */
export interface UserGroup {
  createdBy: UserId;
  groupDescription: string;
  groupId: GroupId;
  groupName: string;
  joinedAt: Timestamp;
  lastSeq: number;
  maxMembers: number;
  memberCount: number;
  /** The same. */
  myRole: string;
  /** One's own. */
  role: string;
  unreadCount: number;
}

/** A user: a 64-bit integer as a decimal string. */
export type UserId = string;

/** Why the server closes a connection. */
export const CloseCode = {
  /** Nothing was sent for 300 s (`ping` counts), or a newer session replaced this one (`session_conflict` says so). */
  Normal: 1000,
  /** No sign of life, pongs included, for 60 s. */
  KeepAliveLost: 1001,
  /** RFC 6455 was violated. */
  ProtocolViolation: 1002,
  /** Text that is not UTF-8. */
  InvalidUtf8: 1007,
  /** Not authenticated in time, too many failures, too many connections or requests of the address, or the token was revoked or expired. */
  Policy: 1008,
  /** A message over 1 MiB. */
  MessageTooLarge: 1009,
  /** A fault of the server. */
  Internal: 1011,
  /** The server restarts. */
  Restart: 1012,
  /** Overloaded, or this client reads too slowly: later. */
  TryLater: 1013,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** The announcement is committed. */
export interface AnnouncementSentEvent {
  type: "announcement_sent";
  createdAt: Timestamp;
  groupId: GroupId;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
}

/** The token does not open a session. The connection stays open for another try. */
export interface AuthErrorEvent {
  type: "auth_error";
  code: AuthErrorCode;
  details: string;
  message: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  retryAfter?: number;
  timestamp: Timestamp;
}

/** The session is open; the missed events follow, oldest first, then live ones. */
export interface AuthSuccessEvent {
  type: "auth_success";
  displayName: string;
  /** How many missed events follow. */
  queuedEvents: number;
  /** The session went on under a new token; nothing is replayed. */
  renewed?: boolean;
  /** More was missed than is replayed. */
  replayTruncated?: boolean;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  serverTime: Timestamp;
  sessionId: string;
  timestamp: Timestamp;
  user: Profile;
  userId: UserId;
  username: string;
}

/** One's communities. */
export interface CommunityListEvent {
  type: "community_list";
  communities: Community[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** A community's members. */
export interface CommunityMembersEvent {
  type: "community_members";
  communityId: string;
  members: CommunityMember[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** One's own progress in a community. */
export interface CommunityProgressEvent {
  type: "community_progress";
  communityId: string;
  progress: Progress;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** For members who are online; not durable. */
export interface CommunityProgressUpdateEvent {
  type: "community_progress_update";
  communityId: string;
  /** Absent when only the progress was set. */
  event: ChallengeEvent | null;
  progress: Progress | null;
  timestamp: Timestamp;
  userId: UserId;
}

/** The greeting, before anything else. */
export interface ConnectedEvent {
  type: "connected";
  clientId: string;
  message: string;
  requiresAuth: boolean;
  timestamp: Timestamp;
}

/** A direct conversation was emptied: for both, or for oneself. */
export interface ConversationDeletedEvent {
  type: "conversation_deleted";
  conversationId: ConversationId;
  deleteForEveryone: boolean;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** The conversation is open; nothing was stored. */
export interface ConversationStartedEvent {
  type: "conversation_started";
  conversationId: ConversationId;
  /** The last 50, oldest first. */
  messages: Message[];
  /** The same as `recipient`. */
  participant: Participant;
  recipient: Participant;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  /** `NOT_FOLLOWING` */
  warning?: string;
}

/** One's direct conversations, the most recently active first. */
export interface ConversationsEvent {
  type: "conversations";
  conversations: ConversationSummary[];
  pagination: ListPagination;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
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
  field?: string;
  /** For people. */
  message: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  /** The `type` of the command. */
  requestType?: string;
  requiresAuth?: boolean;
  /** Whole seconds. */
  retryAfter?: number;
  timestamp: Timestamp;
}

/** An announcement, for all members. */
export interface GroupAnnouncementEvent {
  type: "group_announcement";
  clientMessageId?: string;
  content: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  editedAt?: Timestamp;
  groupId?: GroupId;
  isEdited: boolean;
  isPinned: boolean;
  isRead?: boolean;
  kind: MessageKind;
  mentions?: Mention[];
  messageId: MessageId;
  pinnedAt?: Timestamp;
  pinnedBy?: UserId;
  reactions?: Reaction[];
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  replyToMessageId?: MessageId;
  senderId: UserId;
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  timestamp: Timestamp;
}

/** A new group, for its members; also for a member who is added later. */
export interface GroupCreatedEvent {
  type: "group_created";
  createdBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  /** The same once more. */
  group: GroupDetails;
  groupDescription: string;
  groupId: GroupId;
  groupName: string;
  maxMembers: number;
  memberCount: number;
  /** Of a community's group only the first ones; `memberCount` counts all. */
  members: GroupMember[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  /** Only for the creator. */
  skippedMembers?: SkippedMember[];
  timestamp: Timestamp;
}

/** A group is gone. */
export interface GroupDeletedEvent {
  type: "group_deleted";
  deletedBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  permanent: boolean;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** What a group is. */
export interface GroupInfoEvent {
  type: "group_info";
  createdAt: Timestamp;
  createdBy: UserId;
  groupDescription: string;
  groupId: GroupId;
  groupName: string;
  maxMembers: number;
  memberCount: number;
  /** At most 200, the owner and admins first; `get_group_members` lists all. */
  members: GroupMember[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** A group's name, description or size changed. */
export interface GroupInfoUpdatedEvent {
  type: "group_info_updated";
  createdAt: Timestamp;
  createdBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupDescription: string;
  groupId: GroupId;
  groupName: string;
  maxMembers: number;
  /** Given when so many members came or went at once that they are not told of one by one. */
  memberCount?: number;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  updatedBy: UserId;
  updatedByUsername: string;
}

/** A group's members. */
export interface GroupMembersEvent {
  type: "group_members";
  groupId: GroupId;
  members: ListedMember[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** A group message is gone: for everyone, or for oneself. */
export interface GroupMessageDeletedEvent {
  type: "group_message_deleted";
  deleteForEveryone: boolean;
  deletedBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** A group message has a new text. */
export interface GroupMessageEditedEvent {
  type: "group_message_edited";
  content: string;
  editedAt: Timestamp;
  editedBy: UserId;
  editedByUsername: string;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  messageId: MessageId;
  /** The same as `content`. */
  newContent: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
}

/** The message is committed. */
export interface GroupMessageSentEvent {
  type: "group_message_sent";
  clientMessageId?: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  duplicate?: boolean;
  groupId: GroupId;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
}

/** A page of a group's history. */
export interface GroupMessagesEvent {
  type: "group_messages";
  groupId: GroupId;
  hasMore: boolean;
  /** These three are those of `pagination`. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  offset: number | null;
  pagination: Pagination;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** Somebody reacts to a group message; it replaces an earlier reaction of the same user. */
export interface GroupReactionAddedEvent {
  type: "group_reaction_added";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  messageId: MessageId;
  reaction: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** Somebody took a reaction to a group message away. */
export interface GroupReactionRemovedEvent {
  type: "group_reaction_removed";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  messageId: MessageId;
  reaction: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** A group has a new member. */
export interface MemberAddedEvent {
  type: "member_added";
  addedBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  role: string;
  timestamp: Timestamp;
  user: AddedUser;
  userId: UserId;
  username: string;
  /** `NOT_FOLLOWING`, only for who added. */
  warning?: string;
}

/** An admin became a member. */
export interface MemberDemotedEvent {
  type: "member_demoted";
  demotedBy: UserId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  newRole: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
}

/** A member left a group. */
export interface MemberLeftEvent {
  type: "member_left";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** A member became an admin. */
export interface MemberPromotedEvent {
  type: "member_promoted";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  newRole: string;
  promotedBy: UserId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
}

/** A member was removed from a group; who was removed gets it, too. */
export interface MemberRemovedEvent {
  type: "member_removed";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  removedBy: UserId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** For each user whom a group message mentions, unless one of the two blocks the other. */
export interface MentionedInGroupEvent {
  type: "mentioned_in_group";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId: GroupId;
  mentionedBy: UserId;
  mentionedByUsername: string;
  /** The message; absent in a replay, where it comes by itself. */
  message?: Message;
  messageId: MessageId;
  timestamp: Timestamp;
}

/** A direct message is gone: for everyone, or for oneself. */
export interface MessageDeletedEvent {
  type: "message_deleted";
  conversationId: ConversationId;
  deleteForEveryone: boolean;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** All of the sender's messages up to this one reached the recipient. */
export interface MessageDeliveredEvent {
  type: "message_delivered";
  conversationId: ConversationId;
  deliveredTo: UserId;
  messageId: MessageId;
  seq: number;
  timestamp: Timestamp;
}

/** A direct message has a new text. */
export interface MessageEditedEvent {
  type: "message_edited";
  content: string;
  conversationId: ConversationId;
  editedAt: Timestamp;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  messageId: MessageId;
  /** The same as `content`. */
  newContent: string;
  /** The text before; absent when it cannot be read any more. */
  oldContent?: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
}

/** A message was pinned. */
export interface MessagePinnedEvent {
  type: "message_pinned";
  conversationId: ConversationId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId?: GroupId;
  messageId: MessageId;
  pinnedBy: UserId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** This message and all before it were read. */
export interface MessageReadEvent {
  type: "message_read";
  conversationId: ConversationId;
  groupId?: GroupId;
  messageId: MessageId;
  readBy: UserId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
}

/** The message is committed. */
export interface MessageSentEvent {
  type: "message_sent";
  clientMessageId?: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  /** This `clientMessageId` was used before; nothing was stored again. */
  duplicate?: boolean;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  seq: number;
  timestamp: Timestamp;
  /** `NOT_FOLLOWING` */
  warning?: string;
}

/** A pin was taken away. */
export interface MessageUnpinnedEvent {
  type: "message_unpinned";
  conversationId: ConversationId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  groupId?: GroupId;
  messageId: MessageId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  unpinnedBy: UserId;
}

/** A group message, for all members. */
export interface NewGroupMessageEvent {
  type: "new_group_message";
  clientMessageId?: string;
  content: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  editedAt?: Timestamp;
  groupId?: GroupId;
  isEdited: boolean;
  isPinned: boolean;
  isRead?: boolean;
  kind: MessageKind;
  mentions?: Mention[];
  messageId: MessageId;
  pinnedAt?: Timestamp;
  pinnedBy?: UserId;
  reactions?: Reaction[];
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  replyToMessageId?: MessageId;
  senderId: UserId;
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  timestamp: Timestamp;
}

/** A direct message, on every connection of both users. */
export interface NewMessageEvent {
  type: "new_message";
  clientMessageId?: string;
  content: string;
  conversationId: ConversationId;
  createdAt: Timestamp;
  editedAt?: Timestamp;
  groupId?: GroupId;
  isEdited: boolean;
  isPinned: boolean;
  isRead?: boolean;
  kind: MessageKind;
  mentions?: Mention[];
  messageId: MessageId;
  pinnedAt?: Timestamp;
  pinnedBy?: UserId;
  reactions?: Reaction[];
  recipientId?: UserId;
  /** Absent when the message replied to is gone. */
  replyTo?: ReplyPreview;
  replyToMessageId?: MessageId;
  senderId: UserId;
  senderUsername: string;
  /** Counts the conversation's messages from 1. */
  seq: number;
  timestamp: Timestamp;
}

/** Who is online. */
export interface OnlineUsersEvent {
  type: "online_users";
  count: number;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  users: OnlineUser[];
}

/** A group has another owner; the old one is an admin. */
export interface OwnershipTransferredEvent {
  type: "ownership_transferred";
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  fromUserId: UserId;
  groupId: GroupId;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  toUserId: UserId;
}

/** The pinned messages. */
export interface PinnedMessagesEvent {
  type: "pinned_messages";
  conversationId: ConversationId;
  groupId?: GroupId;
  /** Oldest first; at most 200, those pinned last. */
  messages: Message[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** The answer to `ping`. */
export interface PongEvent {
  type: "pong";
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  /** Epoch milliseconds. */
  timestamp: number;
}

/** A page of a direct conversation's history. */
export interface PrivateMessagesEvent {
  type: "private_messages";
  conversationId: ConversationId;
  hasMore: boolean;
  /** These four are those of `pagination`. */
  limit: number;
  /** Oldest first. */
  messages: Message[];
  offset: number | null;
  pagination: Pagination;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  total: number;
}

/** Somebody reacts to a direct message; it replaces an earlier reaction of the same user. */
export interface ReactionAddedEvent {
  type: "reaction_added";
  conversationId: ConversationId;
  /** The same as `reaction`. */
  emoji: string;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  messageId: MessageId;
  reaction: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** Somebody took a reaction to a direct message away. */
export interface ReactionRemovedEvent {
  type: "reaction_removed";
  conversationId: ConversationId;
  /** Tells a repetition; not in the direct answer. */
  eventId?: string;
  messageId: MessageId;
  reaction: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** Another connection of the same user took over. */
export interface SessionConflictEvent {
  type: "session_conflict";
  message: string;
  timestamp: Timestamp;
}

/** The end of the series. */
export interface SyncCompleteEvent {
  type: "sync_complete";
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** The messages of one conversation after the number that the client knows. */
export interface SyncMessagesEvent {
  type: "sync_messages";
  conversationId: ConversationId;
  /** There are more: another `sync` from the last number goes on. */
  hasMore: boolean;
  /** Oldest first. */
  messages: Message[];
  timestamp: Timestamp;
}

/** The answer to `test`. */
export interface TestResponseEvent {
  type: "test_response";
  message: string;
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  /** Epoch milliseconds. */
  timestamp: number;
}

/** One's groups. */
export interface UserGroupsEvent {
  type: "user_groups";
  groups: UserGroup[];
  /** Echoed from the command, in its direct answer only. */
  requestId?: string | number;
  timestamp: Timestamp;
}

/** A user went offline: 60 s passed since the user's last connection ended. */
export interface UserOfflineEvent {
  type: "user_offline";
  timestamp: Timestamp;
  user: PresentUser;
}

/** A user came online: the first of the user's connections authenticated. */
export interface UserOnlineEvent {
  type: "user_online";
  timestamp: Timestamp;
  user: PresentUser;
}

/** Somebody began or ended to type. */
export interface UserTypingEvent {
  type: "user_typing";
  conversationId: ConversationId;
  isTyping: boolean;
  timestamp: Timestamp;
  userId: UserId;
  username: string;
}

/** Confirms receipt, after `authenticate` with `acks: true`. Only errors are answered. */
export interface AckCommand {
  type: "ack";
  /** For each conversation, the `seq` up to which all arrived. */
  conversations?: Record<string, number>;
  /** The `eventId`s that arrived. */
  eventIds?: string[];
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Adds a user to a group; the owner, admins and whoever has `canAddMembers` may. The new member gets `group_created`,
 * too.
 */
export interface AddGroupMemberCommand {
  type: "add_group_member";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Reacts to a group message. Another reaction replaces the first; the same one again takes it away. */
export type AddGroupReactionCommand = {
  type: "add_group_reaction";
  /** Another name for it. */
  emoji?: string;
  /** The message. */
  messageId: string;
  /** Usually one emoji. */
  reaction?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ reaction: string } | { emoji: string });

/** Reacts to a direct message. Another reaction replaces the first; the same one again takes it away. */
export type AddReactionCommand = {
  type: "add_reaction";
  /** Another name for it. */
  emoji?: string;
  /** The message. */
  messageId: string;
  /** Usually one emoji. */
  reaction?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ reaction: string } | { emoji: string });

/**
 * Opens the session: what was missed follows the answer, then live events. For the same user again, it renews the
 * session under the new token (`renewed: true`, no replay). Five failures close the connection with 1008.
 */
export interface AuthenticateCommand {
  type: "authenticate";
  /** With `true` an event counts as delivered when the client confirms it by `ack`, not when it was written. */
  acks?: boolean;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** A JWT, signed with HS256, with `sub`, `jti` and `exp`. */
  token: string;
}

/**
 * Creates a group; the creator is its owner. Unknown and blocked users among the initial members are left out and
 * listed in `skippedMembers`.
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
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Removes a direct conversation's messages for both users, or hides what is there from oneself until a new message
 * brings it back.
 */
export interface DeleteConversationCommand {
  type: "delete_conversation";
  /** Either order of the two ids is accepted. */
  conversationId: string;
  /** `true` removes the messages for both. */
  deleteForEveryone?: boolean;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Deletes a group; the owner may. It disappears at once and is purged after 30 days, or at once with `permanent`. */
export interface DeleteGroupCommand {
  type: "delete_group";
  /** The group. */
  groupId: string;
  /** Purges it at once. */
  permanent?: boolean;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Deletes a group message: for everyone by its sender, the owner and admins, for oneself by any member. */
export interface DeleteGroupMessageCommand {
  type: "delete_group_message";
  /** `false` hides it for oneself only. */
  deleteForEveryone?: boolean;
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Deletes a direct message: for everyone only by its sender, for oneself by either. */
export interface DeleteMessageCommand {
  type: "delete_message";
  /** `false` hides it for oneself only. */
  deleteForEveryone?: boolean;
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Makes an admin a member; the owner may. */
export interface DemoteMemberCommand {
  type: "demote_member";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Changes the text of one's own group message, within 5 minutes. */
export type EditGroupMessageCommand = {
  type: "edit_group_message";
  /** The text, kept exactly as sent. */
  content?: string;
  /** The message. */
  messageId: string;
  /** Another name for it. */
  newContent?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ content: string } | { newContent: string });

/** Changes the text of one's own direct message, within 5 minutes. */
export type EditMessageCommand = {
  type: "edit_message";
  /** The text, kept exactly as sent. */
  content?: string;
  /** The message. */
  messageId: string;
  /** Another name for it. */
  newContent?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ content: string } | { newContent: string });

/** The communities one belongs to. */
export interface GetCommunitiesCommand {
  type: "get_communities";
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** A community's members; for members. */
export interface GetCommunityMembersCommand {
  type: "get_community_members";
  /** The main backend's id of the community. */
  communityId: string | number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** One's own progress in a community. */
export interface GetCommunityProgressCommand {
  type: "get_community_progress";
  /** The main backend's id of the community. */
  communityId: string | number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** One's direct conversations, the most recently active first. */
export interface GetConversationsCommand {
  type: "get_conversations";
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest. */
  offset?: number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** A group's name, description and size; for members. */
export interface GetGroupInfoCommand {
  type: "get_group_info";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** A group's members; for members. */
export interface GetGroupMembersCommand {
  type: "get_group_members";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** A page of a group's history, oldest first; for members. */
export interface GetGroupMessagesCommand {
  type: "get_group_messages";
  /** Only messages after this number; `offset` is then ignored. */
  afterSeq?: number;
  /** Only messages before this number; `offset` is then ignored. */
  beforeSeq?: number;
  /** The group. */
  groupId: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest. */
  offset?: number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Everybody online, without oneself and without anyone blocked in either direction. */
export interface GetOnlineUsersCommand {
  type: "get_online_users";
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** The pinned messages of a direct conversation or a group. */
export type GetPinnedMessagesCommand = {
  type: "get_pinned_messages";
  /** The conversation. */
  conversationId?: string;
  /** The group. */
  groupId?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/** A page of a direct conversation's history, oldest first. */
export type GetPrivateMessagesCommand = {
  type: "get_private_messages";
  /** Only messages after this number; `offset` is then ignored. */
  afterSeq?: number;
  /** Only messages before this number; `offset` is then ignored. */
  beforeSeq?: number;
  /** Either order of the two ids is accepted. */
  conversationId?: string;
  /** The size of the page. More than 200 becomes 200, and the answer says so. */
  limit?: number;
  /** How many to skip, counted from the newest. */
  offset?: number;
  /** The other user. */
  recipientId?: string | number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ conversationId: string } | { recipientId: string | number });

/** The groups one belongs to. */
export interface GetUserGroupsCommand {
  type: "get_user_groups";
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Leaves a group; the owner cannot. */
export interface LeaveGroupCommand {
  type: "leave_group";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Marks a message and all before it as read, in direct conversations and groups. Always answered; others hear of it
 * only when something changed.
 */
export interface MarkMessageReadCommand {
  type: "mark_message_read";
  /** Where the message is; only checked. */
  conversationId?: string;
  /** The same, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Pins a message for all participants; in groups the owner and admins may. Pinning what is pinned is answered and
 * causes nothing.
 */
export type PinMessageCommand = {
  type: "pin_message";
  /** Where the message is. */
  conversationId?: string;
  /** Where the message is, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/** A sign of life; it also counts as activity. */
export interface PingCommand {
  type: "ping";
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Makes a member an admin; the owner may. */
export interface PromoteMemberCommand {
  type: "promote_member";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Removes a member from a group: the owner anybody, admins only members. */
export interface RemoveGroupMemberCommand {
  type: "remove_group_member";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/** Takes one's reaction to a group message away. */
export interface RemoveGroupReactionCommand {
  type: "remove_group_reaction";
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Takes one's reaction to a direct message away. */
export interface RemoveReactionCommand {
  type: "remove_reaction";
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
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
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Sends an announcement to a group; the owner and admins may. */
export interface SendAnnouncementCommand {
  type: "send_announcement";
  /** The text, kept exactly as sent. */
  content: string;
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Sends a message to a group. `@username`, `@everyone` and `@all` mention members. The answer means that it is stored.
 */
export interface SendGroupMessageCommand {
  type: "send_group_message";
  /** Chosen by the client. A second send under it stores nothing and is answered with `duplicate: true`. */
  clientMessageId?: string;
  /** The text, kept exactly as sent. */
  content: string;
  /** The group. */
  groupId: string;
  /** Another name for `replyToMessageId`, which counts when both are given. */
  replyTo?: string;
  /** A message of the same conversation that this one answers. */
  replyToMessageId?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * Sends a direct message. The answer means that it is stored; without one, send again under the same `clientMessageId`.
 */
export interface SendPrivateMessageCommand {
  type: "send_private_message";
  /** Chosen by the client. A second send under it stores nothing and is answered with `duplicate: true`. */
  clientMessageId?: string;
  /** The text, kept exactly as sent. */
  content: string;
  /** That of the two users, in either order; only checked. */
  conversationId?: string;
  /** Not oneself. */
  recipientId: string | number;
  /** Another name for `replyToMessageId`, which counts when both are given. */
  replyTo?: string;
  /** A message of the same conversation that this one answers. */
  replyToMessageId?: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Opens the direct conversation with a user and shows its last 50 messages. Nothing is stored. */
export interface StartConversationCommand {
  type: "start_conversation";
  /** Not oneself. */
  recipientId: string | number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/**
 * For each conversation, the messages after the number that the client knows: a series of `sync_messages`, ended by
 * `sync_complete`. A conversation that is not one's own refuses the whole command.
 */
export interface SyncCommand {
  type: "sync";
  /** The last known `seq` of each conversation. */
  conversations: Record<string, number>;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Tells that the connection works. */
export interface TestCommand {
  type: "test";
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
}

/** Gives the group to another member; the old owner stays as admin. */
export interface TransferOwnershipCommand {
  type: "transfer_ownership";
  /** The group. */
  groupId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
  /** The user concerned. */
  userId: string | number;
}

/**
 * Tells that one is typing, or stopped. It ends by itself 3 s after the last `isTyping: true`. Only errors are
 * answered; between users of whom one blocks the other nothing happens.
 */
export type TypingCommand = {
  type: "typing";
  /** The group in which one types. */
  groupId?: string;
  /** `false` ends it at once. */
  isTyping: boolean;
  /** Not oneself. */
  recipientId?: string | number;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ recipientId: string | number } | { groupId: string });

/**
 * Takes a pin away; in groups the owner and admins may. Unpinning what is not pinned is answered and causes nothing.
 */
export type UnpinMessageCommand = {
  type: "unpin_message";
  /** Where the message is. */
  conversationId?: string;
  /** Where the message is, for groups. */
  groupId?: string;
  /** The message. */
  messageId: string;
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ conversationId: string } | { groupId: string });

/** Changes a group's name, description or size; the owner and admins may. What is absent stays. */
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
  /** Echoed in the direct answer, error or not. */
  requestId?: string | number;
} & ({ groupName: string } | { groupDescription: string } | { maxMembers: number });

/** Every event by its `type`. */
export interface Events {
  announcement_sent: AnnouncementSentEvent;
  auth_error: AuthErrorEvent;
  auth_success: AuthSuccessEvent;
  community_list: CommunityListEvent;
  community_members: CommunityMembersEvent;
  community_progress: CommunityProgressEvent;
  community_progress_update: CommunityProgressUpdateEvent;
  connected: ConnectedEvent;
  conversation_deleted: ConversationDeletedEvent;
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
  sync_complete: SyncCompleteEvent;
  sync_messages: SyncMessagesEvent;
  test_response: TestResponseEvent;
  user_groups: UserGroupsEvent;
  user_offline: UserOfflineEvent;
  user_online: UserOnlineEvent;
  user_typing: UserTypingEvent;
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
  create_group: CreateGroupCommand;
  delete_conversation: DeleteConversationCommand;
  delete_group: DeleteGroupCommand;
  delete_group_message: DeleteGroupMessageCommand;
  delete_message: DeleteMessageCommand;
  demote_member: DemoteMemberCommand;
  edit_group_message: EditGroupMessageCommand;
  edit_message: EditMessageCommand;
  get_communities: GetCommunitiesCommand;
  get_community_members: GetCommunityMembersCommand;
  get_community_progress: GetCommunityProgressCommand;
  get_conversations: GetConversationsCommand;
  get_group_info: GetGroupInfoCommand;
  get_group_members: GetGroupMembersCommand;
  get_group_messages: GetGroupMessagesCommand;
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
  start_conversation: StartConversationCommand;
  sync: SyncCommand;
  test: TestCommand;
  transfer_ownership: TransferOwnershipCommand;
  typing: TypingCommand;
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
  create_group: GroupCreatedEvent;
  delete_conversation: ConversationDeletedEvent;
  delete_group: GroupDeletedEvent;
  delete_group_message: GroupMessageDeletedEvent;
  delete_message: MessageDeletedEvent;
  demote_member: MemberDemotedEvent;
  edit_group_message: GroupMessageEditedEvent;
  edit_message: MessageEditedEvent;
  get_communities: CommunityListEvent;
  get_community_members: CommunityMembersEvent;
  get_community_progress: CommunityProgressEvent;
  get_conversations: ConversationsEvent;
  get_group_info: GroupInfoEvent;
  get_group_members: GroupMembersEvent;
  get_group_messages: GroupMessagesEvent;
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
  start_conversation: ConversationStartedEvent;
  sync: SyncCompleteEvent;
  test: TestResponseEvent;
  transfer_ownership: OwnershipTransferredEvent;
  typing: undefined;
  unpin_message: MessageUnpinnedEvent;
  update_group_info: GroupInfoUpdatedEvent;
}
