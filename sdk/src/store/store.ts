// The parts put together: the client's events go to the list of conversations and to the windows; actions show at once.
import type { AllAnswers, ConversationSettings, InboxEntry } from "../core/additions";
import type { ChatClient, ClientEvents } from "../core/client";
import type { State } from "../core/connection";
import { type Clock, systemClock } from "../core/environment";
import type { OutboxItem, Recipient } from "../core/outbox";
import { conversationOf } from "../core/wire";
import type { Message, Reaction } from "../generated/protocol";
import { InboxList } from "./inbox";
import { Live } from "./live";
import { Presence, Typing } from "./presence";
import type { ChatMessage, Inbox, MessageList, Readable, StoreCache, Typist } from "./types";
import { type Direction, MessageWindow, type Page } from "./window";

export interface StoreOptions {
  /** How many messages a page has; the default is 50. */
  pageSize?: number | undefined;
  /** Keeps the inbox and the newest messages for the next start. */
  cache?: StoreCache | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
}

interface Cached {
  myId?: string | undefined;
  entries: readonly InboxEntry[];
  messages: Record<string, ChatMessage[]>;
}

const PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 200;
/** Windows that nobody looks at are kept up to here. */
const MAX_WINDOWS = 30;
const READ_AFTER_MS = 300;
const CACHE_AFTER_MS = 1_000;
/** Many clients learn of a change at once. */
const REFRESH_WITHIN_MS = 2_000;
/** The action may have been carried out, and can be repeated. */
const UNANSWERED: readonly unknown[] = ["TIMEOUT", "CONNECTION_LOST", "SERVICE_UNAVAILABLE", "RATE_LIMIT_EXCEEDED"];

export class ChatStore {
  readonly connection: Readable<State>;
  readonly inbox: Readable<Inbox>;
  /** User ids of the others in the inbox who are online, and of everybody who came online since. */
  readonly online: Readable<ReadonlySet<string>>;
  readonly #list = new InboxList();
  readonly #presence = new Presence();
  readonly #typing: Typing;
  readonly #windows = new Map<string, MessageWindow>();
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #pageSize: number;
  readonly #cache: StoreCache | undefined;
  readonly #timers = new Map<string, unknown>();
  /** Read marks that the server has not confirmed. */
  readonly #reads = new Map<string, { messageId: string; seq: number }>();
  readonly #undo: (() => void)[] = [];
  readonly #handlers = new Map<string, (event: never) => void>();
  #cached: Cached = { entries: [], messages: {} };
  #refreshing: Promise<void> | undefined;
  #isLoadingMore = false;
  #isClosed = false;

  constructor(
    readonly client: ChatClient,
    options: StoreOptions = {},
  ) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#pageSize = options.pageSize ?? PAGE_SIZE;
    this.#cache = options.cache;
    this.#typing = new Typing(this.#clock);
    const connection = new Live(() => client.state);
    this.connection = connection;
    this.inbox = this.#list.live;
    this.online = this.#presence.live;
    this.#on("state", (state) => {
      connection.changed();
      if (state.name === "online") this.#isOnline();
    });
    this.#listen();
    if (client.state.name === "online") this.#isOnline();
    void this.#restore();
  }

  /** A conversation's messages; the newest page is loaded when somebody subscribes. */
  messages(conversationId: string): Readable<MessageList> {
    return this.#window(conversationId).live;
  }

  typing(conversationId: string): Readable<readonly Typist[]> {
    return this.#typing.live(conversationId);
  }

  /** Loads the inbox again, for example after a command that the store does not know. */
  refresh(): Promise<void> {
    this.#stop("refresh");
    return (this.#refreshing ??= this.#load().finally(() => (this.#refreshing = undefined)));
  }

  async loadMoreConversations(): Promise<void> {
    const { cursor } = this.#list;
    if (!cursor || this.#isLoadingMore || this.#refreshing) return;
    this.#isLoadingMore = true;
    try {
      const answer = await this.client.request("get_inbox", { limit: this.#pageSize, cursor });
      if (this.#list.cursor === cursor) this.#list.more(answer);
      this.#known(answer.entries);
    } finally {
      this.#isLoadingMore = false;
    }
  }

  loadBefore(conversationId: string): Promise<void> {
    const window = this.#window(conversationId);
    const { first } = window;
    if (!first || !window.hasBefore || window.loading) return Promise.resolve();
    return this.#page(conversationId, "before", { beforeSeq: first.seq });
  }

  loadAfter(conversationId: string): Promise<void> {
    const window = this.#window(conversationId);
    const { last } = window;
    if (!last || !window.hasAfter || window.loading) return Promise.resolve();
    return this.#page(conversationId, "after", { afterSeq: last.seq });
  }

  /** Replaces what is loaded by the messages around one, unless it is there already. */
  loadAround(conversationId: string, around: { seq: number } | { messageId: string }): Promise<void> {
    const [key, value] = Object.entries(around)[0] as [keyof Message, unknown];
    if (this.#window(conversationId).find((message) => message[key] === value)) return Promise.resolve();
    const fields = "seq" in around ? { aroundSeq: around.seq } : { aroundMessageId: around.messageId };
    return this.#page(conversationId, "around", fields);
  }

  /** Replaces what is loaded by the newest page. */
  loadLatest(conversationId: string): Promise<void> {
    return this.#page(conversationId, "latest", {});
  }

  /** Shows the message at once; returns its `clientMessageId`. */
  send(conversationId: string, content: string, replyToMessageId?: string): string {
    const { clientMessageId } = this.client.send(this.#recipient(conversationId), content, replyToMessageId);
    this.#typing.mustTell(conversationId, false);
    if (this.#windows.get(conversationId)?.hasAfter) void this.loadLatest(conversationId).catch(() => {});
    return clientMessageId;
  }

  retry(clientMessageId: string): void {
    this.client.retry(clientMessageId);
  }

  discard(clientMessageId: string): void {
    this.client.discard(clientMessageId);
  }

  edit(message: ChatMessage, content: string): Promise<void> {
    const { messageId } = message;
    const edited = { content, isEdited: true };
    return this.#act(
      message,
      (shown) => ({ ...shown, ...edited }),
      () => this.client.request(message.groupId ? "edit_group_message" : "edit_message", { messageId, content }),
    );
  }

  remove(message: ChatMessage, forEveryone = true): Promise<void> {
    const { messageId } = message;
    return this.#act(
      message,
      () => undefined,
      () => {
        const type = message.groupId ? "delete_group_message" : "delete_message";
        return this.client.request(type, { messageId, deleteForEveryone: forEveryone });
      },
    );
  }

  /** The same reaction again takes it away. */
  react(message: ChatMessage, reaction: string): Promise<void> {
    const { messageId } = message;
    const userId = this.#me() ?? "";
    const mine = (shown: ChatMessage) => shown.reactions?.find((one) => one.userId === userId)?.reaction;
    const added: Reaction = { userId, reaction, username: this.client.me?.username ?? "", timestamp: this.#now() };
    const isSame = mine(message) === reaction;
    return this.#act(
      message,
      (shown) => ({ ...shown, ...withReaction(shown, userId, isSame ? undefined : added) }),
      () => this.client.request(message.groupId ? "add_group_reaction" : "add_reaction", { messageId, reaction }),
    );
  }

  pin(message: ChatMessage, isPinned: boolean): Promise<void> {
    const { messageId, groupId, conversationId } = message;
    const where = groupId ? { groupId } : { conversationId };
    return this.#act(
      message,
      (shown) => ({ ...shown, isPinned }),
      () => this.client.request(isPinned ? "pin_message" : "unpin_message", { messageId, ...where }),
    );
  }

  async set(conversationId: string, settings: ConversationSettings): Promise<void> {
    const before = this.#list.entries.get(conversationId);
    this.#list.update(conversationId, () => settings);
    try {
      await this.client.request("set_conversation_settings", { conversationId, ...settings });
    } catch (error) {
      const keys = Object.keys(settings) as (keyof ConversationSettings)[];
      this.#list.update(conversationId, () => Object.fromEntries(keys.map((key) => [key, before?.[key]])));
      throw error;
    }
  }

  /** Up to the newest message, or up to `seq`; sent again after a lost connection. */
  markRead(conversationId: string, seq = Infinity): void {
    const entry = this.#list.entries.get(conversationId);
    const window = this.#windows.get(conversationId);
    const row = window?.find((one) => one.seq <= seq);
    let [messageId, upTo] = [row?.messageId, row?.seq ?? 0];
    if (entry?.lastMessage && entry.lastSeq <= seq && entry.lastSeq > upTo) {
      [messageId, upTo] = [entry.lastMessage.messageId ?? entry.lastMessage.id, entry.lastSeq];
    }
    if (!messageId || (entry && upTo <= entry.readSeq && !entry.markedUnread)) return;
    if ((this.#reads.get(conversationId)?.seq ?? 0) >= upTo) return;
    this.#list.read(conversationId, upTo, window?.countAfter(upTo) ?? 0);
    this.#reads.set(conversationId, { messageId, seq: upTo });
    this.#after("reads", READ_AFTER_MS, () => this.#sendReads());
  }

  /** Call it on every keystroke; the server is told at most every 2 s. */
  setTyping(conversationId: string, isTyping: boolean): void {
    if (this.#typing.mustTell(conversationId, isTyping)) this.client.typing(this.#recipient(conversationId), isTyping);
  }

  /** Stops following the client, which goes on. */
  close(): void {
    this.#isClosed = true;
    for (const undo of this.#undo.splice(0)) undo();
    for (const name of [...this.#timers.keys()]) this.#stop(name);
    this.#typing.close();
  }

  #listen(): void {
    this.#on("message", (message) => {
      this.#windows.get(message.conversationId)?.add(message);
      this.#typing.set(message.conversationId, { userId: message.senderId, username: "" }, false);
      if (!this.#list.message(message, this.#me())) this.#refreshSoon();
    });
    this.#on("outbox", (event) => this.#outbox(event));
    this.#on("changes", (event) => {
      const window = this.#windows.get(event.conversationId);
      if (event.stale) {
        window?.clear("loading");
        if (window?.live.isWatched) this.#quietly(this.loadLatest(event.conversationId));
      } else window?.changes(event);
      if (this.client.state.name === "online") this.#refreshSoon();
    });
    this.#on("gone", ({ conversationId }) => this.#gone(conversationId));
    this.#eachOf(["message_edited", "group_message_edited"], (id, event) => {
      const { content, editedAt } = event;
      this.#patch(id, event, () => ({ content, editedAt, isEdited: true }));
      this.#list.update(id, ({ lastMessage }) =>
        lastMessage && (lastMessage.messageId ?? lastMessage.id) === event.messageId
          ? { lastMessage: { ...lastMessage, content } }
          : {},
      );
    });
    this.#eachOf(["message_deleted", "group_message_deleted"], (id, { messageId }) => {
      const window = this.#windows.get(id);
      const seq = window?.find((one) => one.messageId === messageId)?.seq ?? Infinity;
      window?.remove((one) => one.messageId === messageId);
      const entry = this.#list.entries.get(id);
      // It was the newest one, or counted as unread.
      if (entry && (seq > entry.readSeq || seq >= (entry.lastMessage?.seq ?? entry.lastSeq))) this.#refreshSoon();
    });
    this.#eachOf(["reaction_added", "group_reaction_added"], (id, event) => {
      const { userId, username, reaction, timestamp } = event;
      this.#patch(id, event, (message) => withReaction(message, userId, { userId, username, reaction, timestamp }));
    });
    this.#eachOf(["reaction_removed", "group_reaction_removed"], (id, event) => {
      this.#patch(id, event, (message) => withReaction(message, event.userId));
    });
    this.#eachOf(["message_pinned"], (id, event) => {
      const { pinnedBy, timestamp } = event;
      this.#patch(id, event, () => ({ isPinned: true, pinnedBy, pinnedAt: timestamp }));
    });
    this.#eachOf(["message_unpinned"], (id, event) => this.#patch(id, event, () => ({ isPinned: false })));
    this.#eachOf(["message_read"], (id, { readBy, seq }) => {
      const window = this.#windows.get(id);
      if (readBy === this.#me()) {
        const unread = window?.first && window.first.seq <= seq + 1 && !window.hasAfter ? window.countAfter(seq) : undefined;
        this.#list.read(id, seq, unread ?? Infinity);
        if (unread === undefined && seq < (this.#list.entries.get(id)?.lastSeq ?? 0)) this.#refreshSoon();
        return;
      }
      window?.hasRead(readBy, seq);
      if (!id.startsWith("group_")) {
        this.#list.update(id, ({ peerReadSeq = 0 }) => ({ peerReadSeq: Math.max(peerReadSeq, seq) }));
      }
    });
    this.#eachOf(["message_delivered"], (id, { seq }) => this.#windows.get(id)?.delivered(seq));
    this.#eachOf(["user_typing"], (id, event) => this.#typing.set(id, event, event.isTyping));
    this.#on("user_online", ({ user }) => this.#setOnline(user.userId, true));
    this.#on("user_offline", ({ user }) => this.#setOnline(user.userId, false));
    this.#on("group_created", () => this.#refreshSoon(0));
    this.#eachOf(["group_info_updated"], (id, { groupName }) => this.#list.update(id, () => ({ name: groupName })));
    this.#eachOf(["group_deleted"], (id) => this.#gone(id));
    this.#eachOf(["member_removed", "member_left"], (id, { userId }) => {
      if (userId === this.#me()) this.#gone(id);
    });
    this.#eachOf(["member_promoted", "member_demoted"], (id, { userId, newRole }) => {
      if (userId === this.#me()) this.#list.update(id, () => ({ myRole: newRole }));
    });
    this.#eachOf(["ownership_transferred"], (id, { fromUserId, toUserId }) => {
      const me = this.#me();
      const myRole = toUserId === me ? "owner" : fromUserId === me ? "admin" : undefined;
      if (myRole) this.#list.update(id, () => ({ myRole }));
    });
    this.#eachOf(["conversation_deleted"], (id) => {
      this.#list.remove(id);
      this.#windows.get(id)?.clear("ready");
    });
    this.#eachOf(["conversation_settings" as "message_read"], (id, event) => {
      const { mutedUntil = null, pinned = false, markedUnread = false } = event as ConversationSettings;
      this.#list.update(id, () => ({ mutedUntil, pinned, markedUnread }));
    });
  }

  #isOnline(): void {
    this.#quietly(this.refresh());
    this.#sendReads();
    for (const [id, { status, live, loading }] of this.#windows) {
      if (status !== "ready" && status !== "gone" && live.isWatched && !loading) this.#quietly(this.loadLatest(id));
    }
  }

  async #load(): Promise<void> {
    const wanted = Math.max(this.#pageSize, this.#list.entries.size);
    const entries: InboxEntry[] = [];
    this.#list.asked();
    try {
      let answer: AllAnswers["get_inbox"];
      let cursor: string | undefined;
      do {
        const limit = Math.min(MAX_PAGE_SIZE, wanted - entries.length);
        answer = await this.client.request("get_inbox", { limit, ...(cursor ? { cursor } : {}) });
        entries.push(...answer.entries);
        cursor = answer.nextCursor ?? undefined;
      } while (cursor && entries.length < wanted);
      this.#list.fetched(entries, answer);
      this.#known(entries);
    } catch (error) {
      this.#list.failed();
      throw error;
    }
  }

  /** From here on the client misses nothing of these conversations. */
  #known(entries: InboxEntry[]): void {
    for (const { conversationId, lastSeq, version, participant } of entries) {
      this.client.track(conversationId, { seq: lastSeq, version });
      if (participant) this.#presence.set(participant.userId, participant.online);
    }
    this.#saveSoon();
  }

  #refreshSoon(within = REFRESH_WITHIN_MS): void {
    if (!this.#timers.has("refresh")) {
      this.#after("refresh", this.#random() * within, () => {
        const running = this.#refreshing;
        // An answer that is on its way may be too old.
        if (running) void running.catch(() => {}).then(() => this.#refreshSoon(0));
        else this.#quietly(this.refresh());
      });
    }
  }

  #window(id: string): MessageWindow {
    let window = this.#windows.get(id);
    if (window) return window;
    window = new MessageWindow(
      () => this.#me(),
      () => {
        const { status, loading } = window as MessageWindow;
        const isNeeded = status !== "ready" && status !== "gone" && !loading;
        if (isNeeded && this.client.state.name === "online") this.#quietly(this.loadLatest(id));
      },
    );
    for (const [other, { live, isSending }] of this.#windows) {
      if (this.#windows.size < MAX_WINDOWS) break;
      if (live.wasWatched && !live.isWatched && !isSending) this.#windows.delete(other);
    }
    this.#windows.set(id, window);
    const saved = this.#cached.messages[id];
    if (saved) window.restore(saved);
    for (const item of this.client.outbox) if (isFor(item, id)) window.sending(item, id, this.client.me?.username ?? "");
    return window;
  }

  async #page(id: string, direction: Direction, fields: object): Promise<void> {
    const window = this.#window(id);
    const load = window.begin(direction);
    try {
      const limit = this.#pageSize;
      const page: Page = await (id.startsWith("group_")
        ? this.client.request("get_group_messages", { groupId: id, limit, ...fields })
        : this.client.request("get_private_messages", { conversationId: id, limit, ...fields }));
      if (!window.isCurrent(load)) return;
      window.page(direction, page);
      const entry = this.#list.entries.get(id);
      if (entry?.participant) window.hasRead(entry.participant.userId, entry.peerReadSeq ?? 0);
      this.client.track(id, { seq: page.messages.at(-1)?.seq ?? 0, version: page.version });
      this.#saveSoon();
    } catch (error) {
      if (window.isCurrent(load)) window.failed();
      throw error;
    }
  }

  /** Shows an action's result until the server has answered; then the answer is applied as the event that it is. */
  async #act(message: ChatMessage, apply: (shown: ChatMessage) => ChatMessage | undefined, run: () => Promise<object>): Promise<void> {
    const { messageId, conversationId } = message;
    const undo = this.#window(conversationId).overlay({ messageId, apply });
    try {
      const answer = await run();
      this.#apply(answer as { type: string });
    } finally {
      undo();
    }
  }

  #outbox({ item, removed, sent }: ClientEvents["outbox"]): void {
    for (const [id, window] of this.#windows) {
      if (!isFor(item, id)) continue;
      if (removed) window.settled(item.clientMessageId, sent);
      else window.sending(item, id, this.client.me?.username ?? "");
    }
  }

  #sendReads(): void {
    if (this.client.state.name !== "online") return;
    for (const [conversationId, read] of this.#reads) {
      const where = conversationId.startsWith("group_") ? { groupId: conversationId } : { conversationId };
      const isDone = () => this.#reads.get(conversationId) === read && this.#reads.delete(conversationId);
      this.client.request("mark_message_read", { messageId: read.messageId, ...where }).then(isDone, (error: { code: unknown }) => {
        if (UNANSWERED.includes(error.code)) return;
        isDone();
        this.#refreshSoon();
      });
    }
  }

  #gone(id: string): void {
    this.#list.remove(id);
    this.#windows.get(id)?.clear("gone");
    this.#saveSoon();
  }

  #setOnline(userId: string, online: boolean): void {
    this.#presence.set(userId, online);
    for (const { conversationId: id, participant } of this.#list.entries.values()) {
      if (participant?.userId === userId) this.#list.update(id, () => ({ participant: { ...participant, online } }));
    }
  }

  #patch(id: string, event: { messageId: string }, change: (message: ChatMessage) => Partial<Message>): void {
    this.#windows.get(id)?.patch(event.messageId, (event as { version?: number }).version, change);
  }

  #recipient(id: string): Recipient {
    if (id.startsWith("group_")) return { groupId: id };
    const ids = id.split("_").slice(1);
    const recipientId = ids.find((one) => one !== this.#me()) ?? "";
    return { recipientId: this.#list.entries.get(id)?.participant?.userId ?? recipientId };
  }

  #me(): string | undefined {
    return this.client.me?.userId ?? this.#cached.myId;
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }

  async #restore(): Promise<void> {
    const cached = (await this.#cache?.load().catch(() => undefined)) as Cached | undefined;
    if (!cached) return;
    this.#cached = cached;
    if (this.#list.status === "loading") this.#list.restore(cached.entries);
    for (const [id, window] of this.#windows) {
      const saved = cached.messages[id];
      if (saved && window.status === "loading") window.restore(saved);
    }
  }

  #saveSoon(): void {
    if (!this.#cache || this.#timers.has("cache")) return;
    this.#after("cache", CACHE_AFTER_MS, () => {
      const messages: Cached["messages"] = {};
      for (const [id, window] of this.#windows) {
        const newest = window.newest(this.#pageSize);
        if (newest) messages[id] = newest;
      }
      const entries = this.#list.live.getSnapshot().entries.slice(0, MAX_PAGE_SIZE);
      this.#cached = { myId: this.#me(), entries, messages: { ...this.#cached.messages, ...messages } };
      void this.#cache?.save(this.#cached).catch(() => {});
    });
  }

  /** The failure shows in the status. */
  #quietly(promise: Promise<void>): void {
    promise.catch(() => {});
  }

  #on<K extends keyof ClientEvents>(type: K, handler: (event: ClientEvents[K]) => void): void {
    this.#undo.push(this.client.on(type, handler));
  }

  #eachOf<K extends keyof ClientEvents>(types: K[], handler: (id: string, event: ClientEvents[K]) => void): void {
    for (const type of types) {
      const handle = (event: ClientEvents[K]) => handler(conversationOf(event as object) ?? "", event);
      this.#on(type, handle);
      this.#handlers.set(type, handle as (event: never) => void);
    }
  }

  #apply(answer: { type: string }): void {
    this.#handlers.get(answer.type)?.(answer as never);
  }

  #after(name: string, ms: number, run: () => void): void {
    this.#stop(name);
    if (this.#isClosed) return;
    this.#timers.set(
      name,
      this.#clock.setTimeout(() => (this.#timers.delete(name), run()), ms),
    );
  }

  #stop(name: string): void {
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** Follows a client: make it right after `connect`. */
export function createStore(client: ChatClient, options?: StoreOptions): ChatStore {
  return new ChatStore(client, options);
}

function isFor({ to }: OutboxItem, id: string): boolean {
  return "groupId" in to ? to.groupId === id : id.startsWith("conv_") && id.split("_").includes(to.recipientId, 1);
}

function withReaction(message: Message, userId: string, added?: Reaction): { reactions: Reaction[] } {
  const others = (message.reactions ?? []).filter((one) => one.userId !== userId);
  return { reactions: added ? [...others, added] : others };
}
