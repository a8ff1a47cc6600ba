// What a user interface shows, kept up to date by the client's events; each part has `subscribe` and `getSnapshot`.
export { ChatStore, createStore } from "./store/store";
export type { StoreOptions } from "./store/store";
export type { Cached, ChatMessage, Inbox, MessageList, Readable, StoreCache, Typist } from "./store/types";
export type { InboxParticipant } from "./generated/protocol";
export type { ConversationSettings, InboxEntry, InboxMessage } from "./store/types";
