// A server that keeps the protocol's promises, but nothing more: it may lose, delay and double what it publishes live, and
// close any connection at any time.
import type { Message, Socket } from "../src/index";
import type { FakeClock } from "./clock";

type Frame = Record<string, unknown> & { type: string };

interface Change {
  version: number;
  seq: number;
  messageId: string;
}

interface Conversation {
  id: string;
  version: number;
  seq: number;
  messages: Map<number, Message>;
  changes: Change[];
}

interface Durable {
  eventId: string;
  make: () => Frame;
}

export interface Faults {
  /** Probability that a live event is lost or doubled. */
  lose: number;
  double: number;
  /** The longest delay of a frame, in milliseconds. */
  delay: number;
  /** Probability that a command is temporarily rejected. */
  busy: number;
}

export const ME = "1";
export const PEER = "2";

export class FakeServer {
  readonly conversations = new Map<string, Conversation>();
  readonly sent = new Map<string, { conversation: Conversation; seq: number }>();
  readonly sockets = new Set<FakeSocket>();
  /** Durable events that nobody has confirmed, and the confirmed `seq` of each conversation. */
  readonly unconfirmed = new Map<string, Durable>();
  readonly delivered = new Map<string, number>();
  faults: Faults = { lose: 0, double: 0, delay: 0, busy: 0 };
  tokens = new Map<string, string>();
  frames: Frame[] = [];
  /** Up to where each user has read, by conversation. */
  readonly reads = new Map<string, Record<string, number>>();
  readonly settings = new Map<string, object>();
  /** Answers to these commands are computed at once, and held back here. */
  readonly held: (() => void)[] = [];
  readonly holding = new Set<string>();
  /** Which history the database has; `undefined` for a server that does not tell. */
  epoch: string | undefined;
  /** Changes are no longer kept. */
  isStale = false;
  /** The error with which every command is rejected. */
  rejection: Frame | undefined;
  /** The error with which new connections are refused. */
  refusal: Frame | undefined;
  #ids = 0;

  constructor(
    readonly clock: FakeClock,
    readonly random: () => number,
    readonly versions: boolean,
  ) {}

  get constructorOfSockets(): new (url: string) => Socket {
    return socketsOf(this);
  }

  conversation(id: string): Conversation {
    let found = this.conversations.get(id);
    if (!found) this.conversations.set(id, (found = { id, version: 0, seq: 0, messages: new Map(), changes: [] }));
    return found;
  }

  store(id: string, senderId: string, content: string, clientMessageId?: string, metadata?: unknown): Message {
    const conversation = this.conversation(id);
    const seq = ++conversation.seq;
    conversation.version++;
    const message = {
      messageId: `msg_${++this.#ids}`,
      conversationId: id,
      seq,
      senderId,
      senderUsername: `user${senderId}`,
      content,
      createdAt: new Date(this.clock.now()).toISOString(),
      kind: "text",
      isEdited: false,
      isPinned: false,
      ...(id.startsWith("group_") ? { groupId: id } : {}),
      ...(clientMessageId ? { clientMessageId } : {}),
      ...(metadata ? { metadata } : {}),
    } as Message;
    conversation.messages.set(seq, message);
    if (clientMessageId) this.sent.set(clientMessageId, { conversation, seq });
    this.publish({ ...message, type: typeOf(id), ...this.#version(conversation) });
    return message;
  }

  edit(id: string, seq: number, content: string, besides?: FakeSocket, metadata?: unknown): Frame | undefined {
    const conversation = this.conversation(id);
    const message = conversation.messages.get(seq);
    if (!message) return undefined;
    message.content = content;
    message.isEdited = true;
    if (metadata !== undefined) Object.assign(message, { metadata: metadata ?? undefined });
    conversation.changes.push({ version: ++conversation.version, seq, messageId: message.messageId });
    const { messageId } = message;
    const type = id.startsWith("group_") ? "group_message_edited" : "message_edited";
    // A repetition shows the present.
    const make = () => {
      const { content, metadata } = message;
      return { type, messageId, ...key(id), content, newContent: content, seq, ...(metadata && { metadata }) };
    };
    return this.#durable(conversation, make, besides);
  }

  react(id: string, seq: number, userId: string, reaction: string, besides?: FakeSocket): Frame {
    const conversation = this.conversation(id);
    const message = conversation.messages.get(seq) as Message;
    const timestamp = new Date(this.clock.now()).toISOString();
    const username = `user${userId}`;
    const others = (message.reactions ?? []).filter((one) => one.userId !== userId);
    message.reactions = [...others, { userId, username, reaction, timestamp }];
    conversation.changes.push({ version: ++conversation.version, seq, messageId: message.messageId });
    const { messageId } = message;
    return this.#durable(conversation, () => ({ type: "reaction_added", messageId, ...key(id), userId, username, reaction, timestamp }), besides);
  }

  delete(id: string, seq: number, besides?: FakeSocket): Frame | undefined {
    const conversation = this.conversation(id);
    const message = conversation.messages.get(seq);
    if (!message) return undefined;
    conversation.messages.delete(seq);
    conversation.changes.push({ version: ++conversation.version, seq, messageId: message.messageId });
    const { messageId } = message;
    const type = id.startsWith("group_") ? "group_message_deleted" : "message_deleted";
    return this.#durable(conversation, () => ({ type, messageId, ...key(id), deleteForEveryone: true }), besides);
  }

  /** The other user has read up to this number. */
  peerRead(id: string, seq: number, userId = PEER): void {
    const { messageId } = this.conversation(id).messages.get(seq) as Message;
    this.reads.set(id, { ...this.reads.get(id), [userId]: seq });
    this.publish({ type: "message_read", messageId, ...key(id), readBy: userId, seq });
  }

  /** Publishes to every open session, with random faults. */
  publish(frame: Frame, besides?: FakeSocket): void {
    for (const socket of this.sockets) {
      if (!socket.isAuthenticated || socket === besides) continue;
      if (this.random() < this.faults.lose) continue;
      socket.deliver(frame);
      if (this.random() < this.faults.double) socket.deliver(frame);
    }
  }

  /** The state that `restore` goes back to, like a backup. */
  backup(): () => void {
    const state = () => ({
      conversations: [...this.conversations],
      sent: [...this.sent].map(([id, { conversation, seq }]) => [id, { id: conversation.id, seq }] as const),
      unconfirmed: [...this.unconfirmed.keys()],
      delivered: [...this.delivered],
      reads: [...this.reads],
    });
    const { conversations, sent, unconfirmed, delivered, reads } = structuredClone(state());
    return () => {
      const fill = <K, V>(map: Map<K, V>, entries: Iterable<readonly [K, V]>) => {
        map.clear();
        for (const [key, value] of entries) map.set(key, value);
      };
      fill(this.conversations, structuredClone(conversations));
      fill(this.sent, sent.map(([key, { id, seq }]) => [key, { conversation: this.conversation(id), seq }]));
      fill(this.delivered, delivered);
      fill(this.reads, reads);
      for (const id of this.unconfirmed.keys()) if (!unconfirmed.includes(id)) this.unconfirmed.delete(id);
    };
  }

  /** Tells the open sessions of another epoch, some time after it has begun; what they missed follows. */
  announceEpoch(): void {
    for (const socket of this.sockets) {
      if (!socket.isAuthenticated || socket.epoch === this.epoch) continue;
      socket.epoch = this.epoch;
      socket.deliver({ type: "epoch_changed", epoch: this.epoch });
      for (const event of this.#replay()) socket.deliver(event);
    }
  }

  closeAll(code: number): void {
    for (const socket of [...this.sockets]) socket.shut(code);
  }

  receive(socket: FakeSocket, frame: Frame): void {
    this.frames.push(frame);
    const { type, requestId } = frame;
    const answer = (event: Frame) => {
      const text = JSON.stringify({ ...event, ...(requestId === undefined ? {} : { requestId }) });
      if (this.holding.has(type)) this.held.push(() => socket.deliver(JSON.parse(text) as Frame));
      else socket.deliver(JSON.parse(text) as Frame);
    };
    if (type === "authenticate") return this.#authenticate(socket, frame.token as string);
    if (type === "ping") return answer({ type: "pong", timestamp: this.clock.now() });
    if (!socket.isAuthenticated) return answer(error("AUTH_REQUIRED"));
    // Receipts of another epoch name numbers of other messages.
    if (type === "ack") return socket.epoch === this.epoch ? this.#ack(frame) : undefined;
    if (this.rejection && type !== "sync" && type !== "ping" && type !== "ack") return answer(this.rejection);
    if (this.random() < this.faults.busy) return answer({ ...error("SERVICE_UNAVAILABLE"), retryAfter: 1 });
    if (type === "sync") return this.#sync(socket, frame);
    if (type === "start_conversation") {
      const id = `conv_${ME}_${frame.recipientId as string}`;
      return answer({ ...this.#page({ type, conversationId: id, limit: 50 }), type: "conversation_started" });
    }
    if (type === "get_inbox") return answer(this.#inbox(frame));
    if (type === "get_private_messages" || type === "get_group_messages") return answer(this.#page(frame));
    if (type === "mark_message_read") return this.#read(socket, frame, answer);
    if (type === "set_conversation_settings") {
      const { conversationId, type: _, requestId: __, ...settings } = frame;
      this.settings.set(conversationId as string, { ...this.settings.get(conversationId as string), ...settings });
      return answer({ type: "conversation_settings", conversationId, ...this.settings.get(conversationId as string) });
    }
    if (type === "add_reaction") {
      const message = this.#find(frame.messageId);
      if (!message) return answer(error("RESOURCE_NOT_FOUND"));
      return answer(this.react(message.conversationId, message.seq, ME, frame.reaction as string, socket));
    }
    if (type === "delete_message") {
      const message = this.#find(frame.messageId);
      if (!message) return answer(error("RESOURCE_NOT_FOUND"));
      return answer(this.delete(message.conversationId, message.seq, socket) as Frame);
    }
    if (type === "edit_message") {
      const message = this.#find(frame.messageId);
      if (!message) return answer(error("RESOURCE_NOT_FOUND"));
      const edited = this.edit(message.conversationId, message.seq, frame.content as string, socket, frame.metadata);
      return answer(edited as Frame);
    }
    if (type === "send_private_message" || type === "send_group_message") {
      if (frame.content === "") return answer({ ...error("VALIDATION_ERROR"), field: "content" });
      const id = (frame.groupId as string) ?? `conv_${ME}_${frame.recipientId as string}`;
      const known = this.sent.get(frame.clientMessageId as string);
      const sent = (seq: number, extra: object) => ({
        type: frame.groupId ? "group_message_sent" : "message_sent",
        ...key(id),
        seq,
        clientMessageId: frame.clientMessageId,
        ...extra,
      });
      if (known) return answer(sent(known.seq, { duplicate: true }));
      // Committed; the answer comes before the echo.
      const seq = this.conversation(id).seq + 1;
      answer(sent(seq, {}));
      this.store(id, ME, frame.content as string, frame.clientMessageId as string, frame.metadata);
    }
  }

  #authenticate(socket: FakeSocket, token: string): void {
    const code = this.tokens.get(token);
    if (code) return socket.deliver({ type: "auth_error", code, message: code, details: "" });
    const renewed = socket.isAuthenticated;
    const replay = renewed ? [] : this.#replay();
    socket.isAuthenticated = true;
    socket.epoch = this.epoch;
    const user = { userId: ME, id: ME, username: "me", displayName: "Me" };
    const { epoch } = this;
    socket.deliver({ type: "auth_success", user, userId: ME, epoch, queuedEvents: replay.length, ...(renewed ? { renewed } : {}) });
    for (const event of replay) socket.deliver(event);
  }

  /** What nobody has confirmed. */
  #replay(): Frame[] {
    const replay: Frame[] = [];
    for (const conversation of this.conversations.values()) {
      const after = this.delivered.get(conversation.id) ?? 0;
      for (const message of conversation.messages.values()) {
        if (message.seq > after && message.senderId !== ME) replay.push({ ...message, type: typeOf(conversation.id) });
      }
    }
    // With versions, `sync` alone must bring what changed.
    for (const { make, eventId } of this.versions ? [] : this.unconfirmed.values()) replay.push({ ...make(), eventId });
    return replay;
  }

  #find(messageId: unknown): Message | undefined {
    const all = [...this.conversations.values()].flatMap((one) => [...one.messages.values()]);
    return all.find((one) => one.messageId === messageId);
  }

  #entry({ id, version, seq: lastSeq, messages }: Conversation): Frame & { lastActivityAt: string } {
    const lastMessage = [...messages.values()].at(-1);
    const readSeq = this.reads.get(id)?.[ME] ?? 0;
    const unread = [...messages.values()].filter((one) => one.seq > readSeq && one.senderId !== ME);
    const participant = { userId: PEER, username: "user2", displayName: "Two", profileImage: null, online: false };
    return {
      type: "entry",
      kind: id.startsWith("group_") ? "group" : "direct",
      conversationId: id,
      ...(id.startsWith("group_") ? { groupId: id, name: id } : { participant, peerReadSeq: this.reads.get(id)?.[PEER] ?? 0 }),
      lastMessage,
      lastActivityAt: lastMessage?.createdAt ?? "2026-01-01T00:00:00.000Z",
      lastSeq,
      readSeq,
      unreadCount: unread.length,
      unreadMentions: 0,
      version,
      pinned: false,
      markedUnread: false,
      ...this.settings.get(id),
    };
  }

  #inbox({ limit, cursor }: Frame): Frame {
    const all = [...this.conversations.values()].map((one) => this.#entry(one));
    all.sort((a, b) => Date.parse(b.lastActivityAt) - Date.parse(a.lastActivityAt));
    const [from, count] = [Number(cursor ?? 0), Number(limit)];
    const totalUnread = all.reduce((sum, entry) => sum + (entry.unreadCount as number), 0);
    const nextCursor = from + count < all.length ? { nextCursor: String(from + count) } : {};
    return { type: "inbox", entries: all.slice(from, from + count), totalUnread, ...nextCursor };
  }

  #page(frame: Frame): Frame {
    const id = (frame.conversationId ?? frame.groupId) as string;
    const limit = frame.limit as number;
    const { messages, version } = this.conversation(id);
    const all = [...messages.values()];
    const type = id.startsWith("group_") ? "group_messages" : "private_messages";
    const answer = (page: Message[], more: object) => ({ type, ...key(id), messages: page, version, ...more });
    if (frame.aroundSeq !== undefined || frame.aroundMessageId !== undefined) {
      const place = all.findIndex((one) => one.seq === frame.aroundSeq || one.messageId === frame.aroundMessageId);
      const from = Math.max(0, place - Math.floor(limit / 2));
      return answer(all.slice(from, from + limit), { hasBefore: from > 0, hasAfter: from + limit < all.length });
    }
    if (frame.afterSeq !== undefined) {
      const newer = all.filter((one) => one.seq > (frame.afterSeq as number));
      return answer(newer.slice(0, limit), { hasMore: newer.length > limit });
    }
    const older = all.filter((one) => one.seq < ((frame.beforeSeq as number) ?? Infinity));
    return answer(older.slice(-limit), { hasMore: older.length > limit });
  }

  #read(socket: FakeSocket, frame: Frame, answer: (event: Frame) => void): void {
    const message = this.#find(frame.messageId);
    if (!message) return answer(error("RESOURCE_NOT_FOUND"));
    const { conversationId: id, messageId, seq } = message;
    this.reads.set(id, { ...this.reads.get(id), [ME]: Math.max(seq, this.reads.get(id)?.[ME] ?? 0) });
    const event = { type: "message_read", messageId, ...key(id), readBy: ME, seq };
    answer(event);
    this.publish(event, socket);
  }

  #ack(frame: Frame): void {
    for (const [id, seq] of Object.entries((frame.conversations ?? {}) as Record<string, number>)) {
      this.delivered.set(id, Math.max(seq, this.delivered.get(id) ?? 0));
    }
    for (const id of (frame.eventIds ?? []) as string[]) this.unconfirmed.delete(id);
  }

  #sync(socket: FakeSocket, frame: Frame): void {
    const asked = frame.conversations as Record<string, number | { seq: number; version: number }>;
    for (const [id, position] of Object.entries(asked)) {
      const conversation = this.conversations.get(id);
      if (!conversation) {
        if (typeof position === "number") return socket.deliver({ ...error("RESOURCE_NOT_FOUND"), requestId: frame.requestId });
        socket.deliver({ type: "sync_gone", conversationId: id });
        continue;
      }
      const seq = typeof position === "number" ? position : position.seq;
      if (typeof position !== "number") {
        const news = conversation.changes.filter((change) => change.version > position.version && change.seq <= seq);
        const { version } = conversation;
        const isAhead = position.version > version || seq > conversation.seq;
        if (isAhead || (news.length > 0 && this.isStale)) {
          socket.deliver({ type: "sync_changes", conversationId: id, version, stale: true });
          continue;
        }
        // Bounded parts: a further one follows at once, or the next `sync` continues.
        while (news.length > 0) {
          const part = news.splice(0, 2);
          const hasMore = news.length > 0;
          const changed = part.flatMap(({ seq }) => conversation.messages.get(seq) ?? []);
          const deleted = part.filter(({ seq }) => !conversation.messages.has(seq)).map(({ messageId, seq }) => ({ messageId, seq }));
          const upTo = hasMore ? part.at(-1)?.version : version;
          const { version: fromVersion } = position;
          socket.deliver({ type: "sync_changes", conversationId: id, fromVersion, version: upTo, changed, deleted, hidden: [], hasMore });
          if (hasMore && this.random() < 0.5) break;
        }
        if (news.length > 0) continue;
      }
      const newer = [...conversation.messages.values()].filter((message) => message.seq > seq);
      const messages = newer.slice(0, 5).map((message) => ({ ...message }));
      const version = this.#version(conversation);
      socket.deliver({ type: "sync_messages", conversationId: id, messages, hasMore: newer.length > 5, ...version });
    }
    socket.deliver({ type: "sync_complete", requestId: frame.requestId });
  }

  #durable(conversation: Conversation, make: () => Frame, besides?: FakeSocket): Frame {
    const eventId = `event-${++this.#ids}`;
    this.unconfirmed.set(eventId, { eventId, make });
    const frame = { ...make(), ...this.#version(conversation) };
    this.publish({ ...frame, eventId }, besides);
    return frame;
  }

  #version(conversation: Conversation): { version?: number } {
    return this.versions ? { version: conversation.version } : {};
  }
}

export class FakeSocket implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  isAuthenticated = false;
  /** Which one the session was told of. */
  epoch: string | undefined;
  /** Nothing goes through any more, and neither side has noticed. */
  isDead = false;
  #toClient = 0;
  #toServer = 0;

  constructor(private readonly server: FakeServer) {
    server.sockets.add(this);
    this.#later("client", () => {
      this.onopen?.(undefined as never);
      if (server.refusal) {
        this.onmessage?.({ data: JSON.stringify(server.refusal) });
        return this.shut(1008);
      }
      this.deliver({ type: "connected" });
    });
  }

  send(text: string): void {
    this.#later("server", () => this.server.receive(this, JSON.parse(text) as Frame));
  }

  deliver(frame: Frame): void {
    const data = JSON.stringify(frame);
    this.#later("client", () => this.onmessage?.({ data }));
  }

  close(): void {
    this.server.sockets.delete(this);
    this.isDead = true;
  }

  shut(code: number): void {
    const { onclose } = this;
    const dead = this.isDead;
    this.close();
    if (!dead) this.server.clock.setTimeout(() => onclose?.({ code }), 0);
  }

  /** In order, like TCP. */
  #later(side: "client" | "server", run: () => void): void {
    const { clock, random, faults } = this.server;
    const due = clock.now() + Math.floor(random() * faults.delay);
    const at = Math.max(due, side === "client" ? this.#toClient : this.#toServer);
    if (side === "client") this.#toClient = at;
    else this.#toServer = at;
    clock.setTimeout(() => {
      if (!this.isDead) run();
    }, at - clock.now());
  }
}

function socketsOf(server: FakeServer): new (url: string) => Socket {
  return class extends FakeSocket {
    constructor(_url: string) {
      super(server);
    }
  };
}

function typeOf(id: string): string {
  return id.startsWith("group_") ? "new_group_message" : "new_message";
}

function key(id: string): object {
  return id.startsWith("group_") ? { groupId: id } : { conversationId: id };
}

function error(code: string): Frame {
  return { type: "error", code, message: code, details: "" };
}
