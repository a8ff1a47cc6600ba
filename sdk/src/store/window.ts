// The loaded part of one conversation's history. A page shows the state at its `version`; events are applied on top of
// it in any order, so each row remembers up to which version it is right.
import type { HistoryPage } from "../core/history";
import type { OutboxItem } from "../core/outbox";
import type { Message, SyncChangesEvent } from "../generated/protocol";
import { Live } from "./live";
import type { Cached, ChatMessage, MessageList } from "./types";

/** A change that is shown before the server has confirmed it; without a result the message is not shown. */
export interface Overlay {
  messageId: string;
  apply(message: ChatMessage): ChatMessage | undefined;
}

export type Direction = "before" | "after" | "around" | "latest";

export interface WindowLimits {
  pageSize: number;
  maxMessages: number;
}

interface Row {
  message: ChatMessage;
  version: number;
}

export class MessageWindow {
  readonly live: Live<MessageList>;
  readonly #myId: () => string | undefined;
  readonly #limits: WindowLimits;
  status: MessageList["status"] = "loading";
  hasBefore = false;
  hasAfter = false;
  deliveredSeq = 0;
  readBy: ReadonlyMap<string, number> = new Map();
  /** The page that is being loaded. */
  loading: { direction: Direction } | undefined;
  #rows: Row[] = [];
  /** Up to this `seq`, pages have shown which messages exist. */
  #through = 0;
  readonly #sending = new Map<string, ChatMessage>();
  readonly #overlays = new Set<Overlay>();

  constructor(myId: () => string | undefined, limits: WindowLimits, watched: () => void) {
    this.#myId = myId;
    this.#limits = limits;
    this.live = new Live(() => this.#compute(), watched);
  }

  get first(): ChatMessage | undefined {
    return this.#rows[0]?.message;
  }

  get last(): ChatMessage | undefined {
    return this.#rows.at(-1)?.message;
  }

  find(wanted: (message: ChatMessage) => boolean): ChatMessage | undefined {
    return this.#rows.findLast(({ message }) => wanted(message))?.message;
  }

  /** Whether it is being shown, and the newest page has to be loaded before it shows the present. */
  get isNeeded(): boolean {
    return this.live.isWatched && this.status !== "ready" && this.status !== "gone" && !this.loading;
  }

  /** How many messages of others are newer; `undefined` if not all of them are loaded. */
  unreadAfter(seq: number): number | undefined {
    if (this.hasAfter || (this.first?.seq ?? Infinity) > seq + 1) return undefined;
    return this.#rows.filter(({ message }) => message.seq > seq && !message.isOwn).length;
  }

  page(direction: Direction, { messages, version = 0, hasBefore, hasAfter }: HistoryPage): void {
    if (direction !== "before" && direction !== "after") this.#rows = [];
    if (direction !== "after") this.hasBefore = hasBefore;
    if (direction !== "before") this.hasAfter = hasAfter;
    for (const message of messages) this.#put(message, version);
    if (direction !== "before" && !this.hasAfter) this.#through = messages.at(-1)?.seq ?? this.#through;
    this.#keep(this.#limits.maxMessages, direction === "before");
    this.status = "ready";
    this.loading = undefined;
    this.live.answered();
  }

  /** Begins to load a page; the result of an earlier load is no longer wanted. */
  begin(direction: Direction): object {
    this.live.asked();
    if (this.status === "failed") this.status = "loading";
    this.live.changed();
    return (this.loading = { direction });
  }

  hasRead(userId: string, seq: number): void {
    this.readBy = new Map(this.readBy).set(userId, Math.max(this.readBy.get(userId) ?? 0, seq));
    this.live.changed();
  }

  delivered(seq: number): void {
    this.deliveredSeq = Math.max(this.deliveredSeq, seq);
    this.live.changed();
  }

  /** Shows what was saved at an earlier start. */
  restore({ messages, readBy }: Cached, id: string): void {
    this.readBy = new Map([...Object.entries(readBy?.[id] ?? {}), ...this.readBy]);
    if (messages[id] && this.status === "loading") {
      this.#rows = messages[id].map((message) => ({ message, version: 0 }));
      this.status = "cached";
    }
    this.live.changed();
  }

  failed(): void {
    this.loading = undefined;
    if (this.status === "loading") this.status = "failed";
    this.live.answered();
  }

  /** Adds a message of the live stream; `version` is 0 if the row is older than any change. */
  add(message: Message): void {
    this.live.apply(() => {
      if (message.seq > this.#through && !this.hasAfter) this.#put(message, 0);
    });
    // A page that is being loaded must adjoin what is there.
    if (!this.loading) this.#keep(this.live.isWatched ? this.#limits.maxMessages : this.#limits.pageSize);
  }

  /** Keeps only the newest page if nobody looks at it. */
  rest(): void {
    if (this.live.isWatched) return;
    if (this.hasAfter || this.loading?.direction === "before") return this.clear("loading");
    this.live.apply(() => this.#keep(this.#limits.pageSize));
  }

  patch(messageId: string, version: number | undefined, change: (message: ChatMessage) => Partial<Message>): void {
    this.live.apply(() => {
      const row = this.#rows.find(({ message }) => message.messageId === messageId);
      // Without a version it is always applied.
      if (!row || (version as number) <= row.version) return;
      // Not with spread syntax, which costs more than twice the memory: V8 gives each such object its own hidden class.
      row.message = Object.assign({}, row.message, change(row.message));
      row.version = version ?? row.version;
    });
  }

  /** Returns the `seq` of what it removed last, if anything. */
  remove(isRemoved: (message: ChatMessage) => boolean): number | undefined {
    const seq = this.find(isRemoved)?.seq;
    this.live.apply(() => (this.#rows = this.#rows.filter(({ message }) => !isRemoved(message))));
    return seq;
  }

  changes({ version, changed = [], deleted = [], hidden = [], hiddenThroughSeq = 0 }: SyncChangesEvent): void {
    const removed = new Set([...deleted, ...hidden].map(({ messageId }) => messageId));
    this.remove(({ messageId, seq }) => removed.has(messageId) || seq <= hiddenThroughSeq);
    // As they are now: what a message no longer has, such as its last reaction, is not included.
    this.live.apply(() => {
      for (const message of changed) if (this.find(({ messageId }) => messageId === message.messageId)) this.#put(message, version);
    });
  }

  clear(status: MessageList["status"]): void {
    this.#rows = [];
    this.hasBefore = this.hasAfter = false;
    this.loading = undefined;
    this.#through = 0;
    this.status = status;
    this.live.asked();
    this.live.answered();
  }

  /**
   * Nothing that was loaded is right any more: its numbers, and with them the marks, may now belong to other messages.
   */
  forget(): void {
    this.readBy = new Map();
    this.deliveredSeq = 0;
    this.clear("loading");
  }

  sending(item: OutboxItem, conversationId: string, myName = ""): void {
    const { clientMessageId: key, content, metadata, failure, replyToMessageId } = item;
    this.#sending.set(key, {
      key,
      isOwn: true,
      status: failure ? "failed" : "sending",
      failure,
      messageId: key,
      clientMessageId: key,
      conversationId,
      senderId: this.#myId() ?? "",
      senderUsername: myName,
      content,
      metadata,
      createdAt: new Date(item.queuedAt).toISOString(),
      kind: "text",
      isEdited: false,
      isPinned: false,
      replyToMessageId,
      seq: Infinity,
      replyTo: this.find(({ messageId }) => messageId === replyToMessageId),
    } as ChatMessage);
    this.live.changed();
  }

  /** The message was confirmed, or (without `sent`) discarded. */
  settled(key: string, sent?: { messageId: string; seq: number; createdAt: string }): void {
    const message = this.#sending.get(key);
    this.#sending.delete(key);
    if (message && sent) {
      const { messageId, seq, createdAt } = sent;
      this.add({ ...message, messageId, seq, createdAt });
    }
    this.live.changed();
  }

  overlay(overlay: Overlay): () => void {
    this.#overlays.add(overlay);
    this.live.changed();
    return () => {
      this.#overlays.delete(overlay);
      this.live.changed();
    };
  }

  #put(message: Message, version: number): void {
    const isOwn = message.senderId === this.#myId();
    const key = (isOwn && message.clientMessageId) || message.messageId;
    if (isOwn) this.#sending.delete(key);
    const row = { message: Object.assign({}, message, { key, isOwn, status: "sent" as const }), version };
    // Almost always the last one.
    let place = this.#rows.length;
    while (place > 0 && (this.#rows[place - 1] as Row).message.seq > message.seq) place--;
    const previous = this.#rows[place - 1];
    if (previous?.message.seq !== message.seq) this.#rows.splice(place, 0, row);
    else if (previous.version <= version) this.#rows[place - 1] = row;
  }

  /** Drops what exceeds `most` at one end: a page at a time, so that a full window does not change at both ends with each message. */
  #keep(most: number, oldest?: boolean): void {
    const excess = this.#rows.length - most;
    if (excess < this.#limits.pageSize) return;
    this.#rows.splice(oldest ? most : 0, excess);
    this[oldest ? "hasAfter" : "hasBefore"] = true;
  }

  #compute(): MessageList {
    let messages = this.#rows.map(({ message }) => message);
    for (const { messageId, apply } of this.#overlays) {
      messages = messages.flatMap((message) => (message.messageId === messageId ? (apply(message) ?? []) : message));
    }
    return {
      status: this.status,
      messages: [...messages, ...this.#sending.values()],
      hasBefore: this.hasBefore,
      hasAfter: this.hasAfter,
      isLoadingBefore: this.loading?.direction === "before",
      isLoadingAfter: this.loading?.direction === "after",
      deliveredSeq: this.deliveredSeq,
      readBy: this.readBy,
    };
  }
}
