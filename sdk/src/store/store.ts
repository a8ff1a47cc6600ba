// The store: follows a client, loads what is shown, and shows actions before the server has confirmed them.
import type { ChatClient } from "../core/client";
import type { InboxPage } from "../core/history";
import type { ClientEvents } from "../core/options";
import type { State } from "../core/connection";
import { type Clock, systemClock } from "../core/environment";
import { keyOf } from "../core/outbox";
import { placeOf } from "../core/wire";
import type { Commands, Metadata } from "../generated/protocol";
import { Live } from "./live";
import { StoreState, withReaction } from "./state";
import type { Cached, ChatMessage, ConversationSettings, Inbox, MessageList, Readable, StoreCache, Typist } from "./types";
import { type Direction, MessageWindow, type WindowLimits } from "./window";

export interface StoreOptions {
  /** How many messages a page has; the default is 50. */
  pageSize?: number | undefined;
  /** About how many messages of a conversation are kept while it is shown; the default is 1,000. */
  maxMessages?: number | undefined;
  /** Keeps the inbox and the newest messages for the next start. */
  cache?: StoreCache | undefined;
  clock?: Clock | undefined;
}

const PAGE_SIZE = 50;
const MAX_MESSAGES = 1_000;
/** Spreads the load, because many clients learn of a change at once. */
const REFRESH_WITHIN_MS = 2_000;

/** What a user interface shows of one client, and what a user does in it. */
export class ChatStore {
  /** The state of the client's connection. */
  readonly connection: Readable<State>;
  /** The list of conversations, loaded once the client is online. */
  readonly inbox: Readable<Inbox>;
  /** Ids of the online users in the inbox, and of everyone who came online since. */
  readonly online: Readable<ReadonlySet<string>>;
  readonly #state: StoreState;
  readonly #clock: Clock;
  readonly #limits: WindowLimits;
  readonly #cache: StoreCache | undefined;
  #cached: Cached = { entries: [], messages: {} };
  #refreshTimer: unknown;
  readonly #undo: (() => void)[];
  #refreshing: Promise<void> | undefined;
  /** How many conversations to show. */
  #wanted: number;

  constructor(
    readonly client: ChatClient,
    { pageSize = PAGE_SIZE, maxMessages = MAX_MESSAGES, cache, clock = systemClock }: StoreOptions = {},
  ) {
    this.#clock = clock;
    this.#limits = { pageSize, maxMessages };
    this.#wanted = pageSize;
    this.#cache = cache;
    const state = (this.#state = new StoreState(clock, {
      myId: () => this.#myId,
      refresh: (withinMs) => this.#refreshSoon(withinMs),
      window: (id) => this.#window(id),
    }));
    const connection = (this.connection = new Live(() => client.state));
    this.inbox = state.inbox.live;
    this.online = state.online.live;
    this.#undo = [
      client.on("state", ({ name }) => {
        connection.changed();
        if (name === "online") this.#loadShown();
      }),
      client.on("outbox", (event) => this.#outbox(event)),
      client.on("message", (message) => {
        state.message(message);
        this.#changed();
      }),
      client.on("event", (event) => {
        state.apply(event);
        if (event.type !== "user_typing") this.#changed();
      }),
      client.on("gone", ({ conversationId }) => state.gone(conversationId)),
      client.on("changes", (event) => {
        state.changes(event);
        if (event.stale) this.#loadShown();
        else this.#refreshSoon();
      }),
    ];
    if (client.state.name === "online") this.#loadShown();
    void this.#restore();
  }

  /**
   * A conversation's messages; the newest page is loaded at the first subscription. What exceeds `maxMessages` is
   * dropped at the end that was not loaded last; conversations without subscribers keep only the newest page.
   */
  messages(conversationId: string): Readable<MessageList> {
    return this.#window(conversationId).live;
  }

  /** Who else is typing there. */
  typing(conversationId: string): Readable<readonly Typist[]> {
    return this.#state.typing.live(conversationId);
  }

  /** Loads the inbox again, for example after a command that the store does not know. */
  refresh(): Promise<void> {
    this.#clock.clearTimeout(this.#refreshTimer);
    this.#refreshTimer = undefined;
    return (this.#refreshing ??= this.#load().finally(() => (this.#refreshing = undefined)));
  }

  /**
   * Loads twice as many as before, including those already loaded, so that a conversation that moves in between is not
   * skipped.
   */
  async loadMoreConversations(): Promise<void> {
    const { hasMore, entries } = this.inbox.getSnapshot();
    this.#wanted = 2 * entries.length;
    if (hasMore) await this.refresh();
  }

  /** Loads the page before the oldest message that is loaded, if there is one. */
  async loadBefore(conversationId: string): Promise<void> {
    const { first, hasBefore, loading } = this.#window(conversationId);
    if (first && hasBefore && !loading) await this.#page(conversationId, "before", { beforeSeq: first.seq });
  }

  /** Loads the page after the newest message that is loaded, if there is one. */
  async loadAfter(conversationId: string): Promise<void> {
    const { last, hasAfter, loading } = this.#window(conversationId);
    if (last && hasAfter && !loading) await this.#page(conversationId, "after", { afterSeq: last.seq });
  }

  /** Replaces what is loaded with the messages around one, unless that one is already loaded. */
  async loadAround(conversationId: string, around: { seq: number } | { messageId: string }): Promise<void> {
    const { seq, messageId } = around as { seq?: number; messageId?: string };
    if (this.#window(conversationId).find((one) => one.seq === seq || one.messageId === messageId)) return;
    await this.#page(conversationId, "around", { aroundSeq: seq, aroundMessageId: messageId });
  }

  /** Replaces what is loaded with the newest page. */
  loadLatest(conversationId: string): Promise<void> {
    return this.#page(conversationId, "latest", {});
  }

  /** Shows the message at once; returns its `clientMessageId`. */
  send(
    conversationId: string,
    ...message: [content: string, replyToMessageId?: string, metadata?: Metadata]
  ): string {
    const { clientMessageId } = this.client.send({ conversationId }, ...message);
    this.setTyping(conversationId, false);
    if (this.#window(conversationId).hasAfter) this.#reload(conversationId);
    return clientMessageId;
  }

  /** Sends a message again that the server has rejected. */
  retry(clientMessageId: string): void {
    this.client.retry(clientMessageId);
  }

  /** Discards one of the user's messages that the server has not confirmed. */
  discard(clientMessageId: string): void {
    this.client.discard(clientMessageId);
  }

  /** Shows the new content at once; takes it back and rejects if the server rejects it. `metadata` replaces the present, `null` removes it. */
  edit(message: ChatMessage, content: string, metadata?: Metadata | null): Promise<void> {
    return this.#act(message, (shown) => ({ ...shown, content, isEdited: true }), "edit_message", { content, metadata });
  }

  /** Hides the message at once, by default for everyone; shows it again and rejects if the server rejects it. */
  remove(message: ChatMessage, deleteForEveryone = true): Promise<void> {
    return this.#act(message, () => undefined, "delete_message", { deleteForEveryone });
  }

  /** Reacts to a message; the same reaction again removes it. */
  react(message: ChatMessage, reaction: string): Promise<void> {
    const { userId = "", username = "" } = this.client.me ?? {};
    const isSame = message.reactions?.some((one) => one.userId === userId && one.reaction === reaction);
    // The answer contains the time.
    const added = isSame ? undefined : { userId, username, reaction, timestamp: "" };
    return this.#act(message, (shown) => ({ ...shown, ...withReaction(shown, userId, added) }), "add_reaction", { reaction });
  }

  /** Pins or unpins at once; undoes this and rejects if the server rejects it. */
  pin(message: ChatMessage, isPinned: boolean): Promise<void> {
    const type = isPinned ? "pin_message" : "unpin_message";
    return this.#act(message, (shown) => ({ ...shown, isPinned }), type, placeOf(message.conversationId));
  }

  /** Mutes, pins or marks a conversation as unread, at once; loads the inbox again and rejects if the server rejects it. */
  async set(conversationId: string, settings: ConversationSettings): Promise<void> {
    this.#state.inbox.update(conversationId, () => settings);
    try {
      await this.client.request("set_conversation_settings", { conversationId, ...settings });
    } catch (error) {
      this.#refreshSoon(0);
      throw error;
    }
  }

  /** Marks as read up to the newest message, or up to `seq`; the mark is sent once there is a connection. */
  markRead(conversationId: string, seq = Infinity): void {
    const { entries } = this.#state.inbox;
    const entry = entries.get(conversationId);
    const window = this.#window(conversationId);
    let last: { messageId: string; seq: number } | undefined = window.find((one) => one.seq <= seq);
    if (entry?.lastMessage && entry.lastSeq <= seq && entry.lastSeq > (last?.seq ?? 0)) {
      last = { ...entry.lastMessage, seq: entry.lastSeq };
    }
    if (!last || (entry && last.seq <= entry.readSeq && !entry.markedUnread)) return;
    this.#state.inbox.read(conversationId, last.seq, window.unreadAfter(last.seq));
    this.client.markRead(conversationId, last.messageId).catch(() => this.#refreshSoon());
  }

  /** Call it on every keystroke; a sign is sent at most every 2 s. */
  setTyping(conversationId: string, isTyping: boolean): void {
    this.client.typing({ conversationId }, isTyping);
  }

  /** Stops following the client, which continues to run. */
  close(): void {
    for (const undo of this.#undo) undo();
    this.#clock.clearTimeout(this.#refreshTimer);
    this.#state.typing.close();
  }

  get #myId(): string | undefined {
    return this.client.me?.userId ?? this.#cached.myId;
  }

  /** Reloads what is shown, because it may be wrong or missing. */
  #loadShown(): void {
    this.#refreshSoon(0);
    for (const [id, { isNeeded }] of this.#state.windows) if (isNeeded) this.#reload(id);
  }

  async #load(): Promise<void> {
    const { inbox, online } = this.#state;
    inbox.live.asked();
    let page: InboxPage | undefined;
    try {
      page = await this.client.inbox(this.#wanted);
    } finally {
      inbox.answered(page);
    }
    for (const { conversationId, participant } of page.entries) {
      if (participant) online.set(participant.userId, participant.online);
      this.#peerRead(conversationId);
    }
    this.#changed();
  }

  /** For direct conversations the inbox contains this, and a page does not. */
  #peerRead(id: string): void {
    const { participant, peerReadSeq = 0 } = this.#state.inbox.entries.get(id) ?? {};
    if (participant) this.#state.windows.get(id)?.hasRead(participant.userId, peerReadSeq);
  }

  #refreshSoon(withinMs = REFRESH_WITHIN_MS): void {
    // It is loaded anyway once it is online.
    if (this.client.state.name !== "online" || (withinMs && this.#refreshTimer)) return;
    this.#clock.clearTimeout(this.#refreshTimer);
    this.#refreshTimer = this.#clock.setTimeout(() => {
      // An answer that is on its way may be too old.
      Promise.resolve(this.#refreshing)
        .finally(() => this.refresh())
        .catch(() => {});
    }, Math.random() * withinMs);
  }

  /** A failure shows in the status. */
  #reload(id: string): void {
    if (this.client.state.name === "online") this.loadLatest(id).catch(() => {});
  }

  #window(id: string): MessageWindow {
    const { windows } = this.#state;
    let window = windows.get(id);
    if (window) return window;
    window = new MessageWindow(
      () => this.#myId,
      this.#limits,
      () => {
        for (const other of windows.values()) other.rest();
        if (window?.isNeeded) this.#reload(id);
      },
    );
    windows.set(id, window);
    window.restore(this.#cached, id);
    for (const item of this.client.outbox) this.#outbox({ item, removed: false });
    return window;
  }

  async #page(id: string, direction: Direction, fields: object): Promise<void> {
    const window = this.#window(id);
    const load = window.begin(direction);
    try {
      const page = await this.client.history(id, { limit: this.#limits.pageSize, ...fields });
      if (window.loading !== load) return;
      window.page(direction, page);
      this.#peerRead(id);
      this.#changed();
    } finally {
      // A page that arrived has ended it.
      if (window.loading === load) window.failed();
    }
  }

  /** Shows an action's result until the server has answered; then the answer is applied as an event. */
  async #act(
    { messageId, conversationId, groupId }: ChatMessage,
    apply: (shown: ChatMessage) => ChatMessage | undefined,
    type: keyof Commands,
    fields: object,
  ): Promise<void> {
    const undo = this.#window(conversationId).overlay({ messageId, apply });
    try {
      // `edit_message` and `edit_group_message`, and so on; pins have one name.
      const name = groupId && !type.includes("pin") ? type.replace("_", "_group_") : type;
      this.#state.apply((await this.client.request(name as keyof Commands, { messageId, ...fields } as never)) as never);
    } finally {
      undo();
    }
  }

  #outbox({ item, removed, sent }: ClientEvents["outbox"]): void {
    for (const [id, window] of this.#state.windows) {
      // A conversation is named by its id, or a direct one by either user's id.
      if (![id, ...id.split("_")].includes(keyOf(item.to))) continue;
      if (removed) window.settled(item.clientMessageId, sent);
      else window.sending(item, id, this.client.me?.username);
    }
  }

  async #restore(): Promise<void> {
    const cached = await this.#cache?.load().catch(() => {});
    if (!cached) return;
    this.#cached = cached;
    this.#state.inbox.restore(cached.entries);
    for (const [id, window] of this.#state.windows) window.restore(cached, id);
    // Only now is it known whose they are.
    for (const item of this.client.outbox) this.#outbox({ item, removed: false });
  }

  #changed(): void {
    this.#cache?.changed(() => {
      const messages: Cached["messages"] = {};
      const readBy = { ...this.#cached.readBy };
      for (const [id, { live }] of this.#state.windows) {
        const { status, hasAfter, messages: shown, readBy: readers } = live.getSnapshot();
        if (status === "ready" && !hasAfter) messages[id] = shown;
        readBy[id] = Object.fromEntries(readers);
      }
      return { myId: this.#myId, entries: this.inbox.getSnapshot().entries, messages, readBy };
    });
  }
}

/** Creates a store that follows a client; call it right after `connect`. */
export function createStore(client: ChatClient, options?: StoreOptions): ChatStore {
  return new ChatStore(client, options);
}
