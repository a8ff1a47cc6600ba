import type { ChatClient } from "../core/client";
import type { State } from "../core/connection";
import type { ConversationSettings } from "../core/additions";
import type { ChatMessage, Inbox, MessageList, Readable, Typist } from "./types";

export interface StoreOptions {
  /** How many messages a page has; the default is 50. */
  pageSize?: number | undefined;
  /** Keeps the inbox and the newest messages for the next start. */
  cache?: StoreCache | undefined;
}

export interface StoreCache {
  load(): Promise<unknown>;
  save(state: unknown): Promise<void>;
}

export declare class ChatStore {
  constructor(client: ChatClient, options?: StoreOptions);
  readonly client: ChatClient;
  readonly connection: Readable<State>;
  readonly inbox: Readable<Inbox>;
  /** User ids of everybody who is online. */
  readonly online: Readable<ReadonlySet<string>>;
  /** A conversation's messages; the newest page is loaded when somebody subscribes. */
  messages(conversationId: string): Readable<MessageList>;
  typing(conversationId: string): Readable<readonly Typist[]>;

  loadMoreConversations(): Promise<void>;
  loadBefore(conversationId: string): Promise<void>;
  loadAfter(conversationId: string): Promise<void>;
  /** Replaces what is loaded by the messages around one. */
  loadAround(conversationId: string, around: { seq: number } | { messageId: string }): Promise<void>;
  /** Replaces what is loaded by the newest page. */
  loadLatest(conversationId: string): Promise<void>;

  /** Shows the message at once; returns its `clientMessageId`. */
  send(conversationId: string, content: string, replyToMessageId?: string): string;
  retry(clientMessageId: string): void;
  discard(clientMessageId: string): void;
  /** These show at once and are taken back when the server rejects them. */
  edit(message: ChatMessage, content: string): Promise<void>;
  remove(message: ChatMessage, forEveryone?: boolean): Promise<void>;
  /** The same reaction again takes it away. */
  react(message: ChatMessage, reaction: string): Promise<void>;
  pin(message: ChatMessage, isPinned: boolean): Promise<void>;
  set(conversationId: string, settings: ConversationSettings): Promise<void>;
  /** Up to the newest message, or up to `seq`; sent again after a lost connection. */
  markRead(conversationId: string, seq?: number): void;
  /** Call it on every keystroke; the server is told at most every 2 s. */
  setTyping(conversationId: string, isTyping: boolean): void;
  /** Loads the inbox again, for example after a command that the store does not know. */
  refresh(): Promise<void>;
  close(): void;
}

/** Follows a client. Make it before `client.start()` or right after `connect`. */
export declare function createStore(client: ChatClient, options?: StoreOptions): ChatStore;
