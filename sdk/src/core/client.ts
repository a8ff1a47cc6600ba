// The parts put together: the connection's events go through the timeline to the application; sends go through the outbox.
import type { Answers, Commands, Events, Message, SyncChangesEvent } from "../generated/protocol";
import { Connection, type State } from "./connection";
import { type Clock, type Logger, onWake, type SocketConstructor, systemClock, type Tabs } from "./environment";
import { ChatError } from "./errors";
import { keyOf, Outbox, type OutboxItem, type Recipient, type Sent } from "./outbox";
import type { Persistence } from "./persistence";
import { Timeline } from "./timeline";
import type { GetToken } from "./token";
import {
  type AnyError,
  conversationOf,
  isChange,
  isGroup,
  isMessage,
  isRepeatable,
  placeOf,
  type Position,
  type ServerEvent,
} from "./wire";

export interface ClientOptions {
  /** `wss://…` of any gateway. */
  url: string;
  /** Called whenever a token is needed; `reason` tells whether the last one may be given again. */
  getToken: GetToken;
  persist?: Persistence | undefined;
  /** One socket for all tabs of the browser: `shareSocket({name: userId})` of `./tabs`. */
  tabs?: Tabs | undefined;
  logger?: Logger | undefined;
  WebSocket?: SocketConstructor | undefined;
  clock?: Clock | undefined;
  /** Uniform in [0, 1). */
  random?: (() => number) | undefined;
}

/** What `on` can listen to: the server's events by their `type`, and what the client makes of them. */
export interface ClientEvents extends Omit<Events, "new_message" | "new_group_message" | "group_announcement"> {
  /** Every message of every conversation once, in the order of `seq`. */
  message: Message;
  /** Everything else that happened, durable or not; also under its own type. */
  event: ServerEvent;
  /** What changed in a conversation while this client was away. */
  changes: SyncChangesEvent;
  /** The conversation no longer exists for this user. */
  gone: { conversationId: string };
  state: State;
  /** A message was queued, failed, confirmed (`removed` and `sent`) or discarded (`removed`). */
  outbox: { item: OutboxItem; removed: boolean; sent?: Sent | undefined };
}

/** A handler may return a promise: receipt is confirmed to the server only after it is fulfilled. */
export type Handler<T> = (event: T) => void | Promise<void>;

export interface RequestOptions {
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

type Fields<T> = T extends unknown ? Omit<T, "type" | "requestId"> : never;

interface Pending {
  type: string;
  frame: object;
  isSent: boolean;
  done(result: unknown): void;
  fail(error: ChatError): void;
}

/** Which part of the history; at most one of those with `Seq` and `aroundMessageId`. */
export interface HistoryFields {
  /** 50, at most 200. */
  limit?: number;
  beforeSeq?: number | undefined;
  afterSeq?: number | undefined;
  /** About half of them before that one. */
  aroundSeq?: number | undefined;
  aroundMessageId?: string | undefined;
}

export interface HistoryPage {
  /** Oldest first. */
  messages: Message[];
  version?: number | undefined;
  hasBefore: boolean;
  hasAfter: boolean;
}

interface AnsweredPage {
  messages: Message[];
  version?: number;
  hasMore: boolean;
  hasBefore?: boolean;
  hasAfter?: boolean;
}

interface Syncing {
  asked: Map<string, Position>;
}

const REQUEST_TIMEOUT_MS = 15_000;
/** The server forgets it after 3 s. */
const TYPING_EVERY_MS = 2_000;
const HOLE_MS = 1_000;
const ACK_AFTER_MS = 200;
const SYNC_TIMEOUT_MS = 30_000;
/** The most that one `sync` or `ack` names. */
const MAX_ENTRIES = 1_000;

export class ChatClient {
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #timeline: Timeline;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #logger: Logger;
  readonly #persist: Persistence | undefined;
  readonly #handlers = new Map<string, Set<Handler<never>>>();
  /** When each recipient was told last that one types. */
  readonly #typing = new Map<string, number>();
  readonly #pending = new Map<string, Pending>();
  /** Conversations to ask about, and the one series under way. */
  readonly #toSync = new Set<string>();
  #syncing: Syncing | undefined;
  #holeTimer: unknown;
  #syncTimer: unknown;
  readonly #ackConversations = new Set<string>();
  readonly #ackEvents = new Set<string>();
  #ackTimer: unknown;
  #handled: Promise<unknown> = Promise.resolve();
  #lastRequest = 0;
  #stopListening: () => void = () => {};
  #me: Events["auth_success"] | undefined;

  constructor(options: ClientOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#logger = options.logger ?? (() => {});
    this.#persist = options.persist;
    const own = {
      getToken: options.getToken,
      WebSocket: options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor),
    };
    this.#connection = new Connection(
      {
        url: options.url,
        ...(options.tabs?.(own) ?? own),
        clock: this.#clock,
        random: this.#random,
        logger: this.#logger,
      },
      {
        state: (state) => this.#emit("state", state),
        authenticated: (event) => this.#authenticated(event),
        event: (event) => this.#receive(event),
        lost: (code) => this.#lost(code),
      },
    );
    this.#outbox = new Outbox(this.#clock, this.#random, {
      canSend: () => this.#connection.canSend,
      send: (frame) => this.#connection.send(frame),
      stalled: () => this.#connection.drop(),
      changed: (item, removed, sent) => {
        this.#save(removed ? { remove: item.clientMessageId } : { put: item });
        this.#emit("outbox", { item, removed, sent });
      },
    });
    this.#timeline = new Timeline({
      message: (message) => this.#emit("message", message),
      event: (event) => {
        this.#emit(event.type as keyof ClientEvents, event as never);
        this.#emit("event", event);
      },
      changes: (event) => this.#emit("changes", event),
      gone: (conversationId) => {
        this.#save({ gone: [conversationId] });
        this.#emit("gone", { conversationId });
      },
      confirmed: (eventId) => void this.#ackEvents.add(eventId),
      incomplete: (id) => this.#incomplete(id),
    });
  }

  /** Loads what was saved, and opens the connection. */
  async start(): Promise<void> {
    const saved = await this.#persist?.load().catch(() => {
      this.#logger("persistence cannot be read");
      return undefined;
    });
    if (this.state.name !== "idle") return;
    for (const [id, position] of Object.entries(saved?.positions ?? {})) this.#timeline.track(id, position);
    for (const id of saved?.seen ?? []) this.#timeline.remember(id);
    for (const item of saved?.outbox ?? []) void this.#outbox.add(item);
    this.#stopListening = onWake(() => this.#connection.wake());
    this.#connection.open();
  }

  get state(): State {
    return this.#connection.state;
  }

  /** Oneself, after the first authentication. */
  get me(): Events["auth_success"]["user"] | undefined {
    return this.#me?.user;
  }

  /** Messages that the server has not confirmed, oldest first. */
  get outbox(): readonly OutboxItem[] {
    return [...this.#outbox.items.values()];
  }

  /** Returns what removes the handler. */
  on<K extends keyof ClientEvents>(type: K, handler: Handler<ClientEvents[K]>): () => void {
    let handlers = this.#handlers.get(type);
    if (!handlers) this.#handlers.set(type, (handlers = new Set()));
    handlers.add(handler as Handler<never>);
    return () => void handlers.delete(handler as Handler<never>);
  }

  /**
   * Queues a message and sends it as soon as possible, however long that takes. `sent` fulfils once the server has committed it,
   * and rejects when the server rejects it, when it is discarded, and when the client is closed.
   */
  send(to: Recipient, content: string, replyToMessageId?: string): { clientMessageId: string; sent: Promise<Sent> } {
    const clientMessageId = this.#uuid();
    const item: OutboxItem = { clientMessageId, to, content, replyToMessageId, queuedAt: this.#clock.now() };
    if (this.state.name === "closed") {
      const sent = Promise.reject(new ChatError("CLOSED", "The client is closed"));
      sent.catch(() => {});
      return { clientMessageId, sent };
    }
    const sent = this.#persist
      ? this.#persist.save({ put: item }).then(
          () => this.#enqueue(item),
          () => (this.#logger("persistence cannot be written"), this.#enqueue(item)),
        )
      : this.#enqueue(item);
    sent.catch(() => {});
    return { clientMessageId, sent };
  }

  #enqueue(item: OutboxItem): Promise<Sent> {
    const sent = this.#outbox.add(item);
    this.#emit("outbox", { item, removed: false });
    if (this.state.name === "closed") this.#outbox.close();
    return sent;
  }

  retry(clientMessageId: string): void {
    this.#outbox.retry(clientMessageId);
  }

  discard(clientMessageId: string): void {
    this.#outbox.discard(clientMessageId);
  }

  /**
   * Any other command; it waits for a connection. What only asks is repeated when the connection is lost before the answer; anything
   * else rejects with `CONNECTION_LOST`, and may have been carried out.
   */
  request<K extends keyof Commands>(
    type: K,
    fields: Fields<Commands[K]>,
    { timeoutMs = REQUEST_TIMEOUT_MS, signal }: RequestOptions = {},
  ): Promise<Answers[K]> {
    const requestId = `r${++this.#lastRequest}`;
    return new Promise<Answers[K]>((resolve, reject) => {
      const finish = () => {
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(requestId);
      };
      const fail = (error: ChatError) => (finish(), reject(error));
      const abort = () => fail(new ChatError("ABORTED", `${type} was aborted`));
      const timer = this.#clock.setTimeout(() => {
        fail(new ChatError("TIMEOUT", `${type} was not answered within ${timeoutMs} ms`));
      }, timeoutMs);
      const done = (result: unknown) => (finish(), resolve(result as Answers[K]));
      const frame = { ...fields, type, requestId };
      this.#pending.set(requestId, { type, frame, isSent: false, done, fail });
      if (this.#isFinal()) return fail(new ChatError("CLOSED", "The client is closed"));
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      this.#flushRequests();
    });
  }

  /**
   * A page of a conversation's history, oldest message first; of the newest messages without further fields. The newest message in it
   * becomes the position of a conversation that has none: from there on nothing is missed.
   */
  async history(conversationId: string, fields: HistoryFields = {}, options?: RequestOptions): Promise<HistoryPage> {
    const type = isGroup(conversationId) ? "get_group_messages" : "get_private_messages";
    const page: AnsweredPage = await this.request(type, { ...placeOf(conversationId), ...fields } as never, options);
    const { messages, version, hasMore, hasBefore, hasAfter } = page;
    this.track(conversationId, { seq: messages.at(-1)?.seq ?? 0, version });
    const isForward = fields.afterSeq !== undefined;
    return { messages, version, hasBefore: hasBefore ?? (!isForward && hasMore), hasAfter: hasAfter ?? (isForward && hasMore) };
  }

  /** Call it on every keystroke: the others are told at most every 2 s, and nothing while there is no connection. */
  typing(to: Recipient, isTyping: boolean): void {
    const told = this.#typing.get(keyOf(to));
    const now = this.#clock.now();
    if (this.state.name !== "online" || (isTyping ? told && now - told < TYPING_EVERY_MS : !told)) return;
    this.#typing.set(keyOf(to), isTyping ? now : 0);
    this.#connection.send({ type: "typing", ...to, isTyping });
  }

  /** The position of a conversation that the application has loaded a page of; from there on nothing is missed. */
  track(conversationId: string, position: Position): void {
    this.#timeline.track(conversationId, position);
    this.#ackConversations.add(conversationId);
    this.#scheduleAck();
  }

  position(conversationId: string): Position | undefined {
    const position = this.#timeline.positions.get(conversationId);
    return position && { ...position };
  }

  /** Checks the connection at once, as the client does when the browser says that the network is back. */
  wake(): void {
    this.#connection.wake();
  }

  /** Ends everything for good; every promise that is still open rejects. */
  close(): void {
    this.#stopListening();
    this.#connection.close();
    this.#outbox.close();
    this.#clock.clearTimeout(this.#ackTimer);
    this.#clock.clearTimeout(this.#holeTimer);
    for (const pending of [...this.#pending.values()]) pending.fail(new ChatError("CLOSED", "The client was closed"));
  }

  #isFinal(): boolean {
    return ["closed", "refused", "replaced"].includes(this.state.name);
  }

  #authenticated(event: Events["auth_success"]): void {
    this.#me = event;
    this.#emit("auth_success", event);
    for (const id of this.#timeline.positions.keys()) this.#toSync.add(id);
    this.#sync();
    this.#outbox.flush();
    this.#flushRequests();
  }

  #lost(code: number): void {
    this.#syncing = undefined;
    this.#clock.clearTimeout(this.#syncTimer);
    this.#outbox.disconnected(code === 1009);
    for (const pending of [...this.#pending.values()]) {
      if (this.#isFinal()) pending.fail(new ChatError("REFUSED", `The connection has ended: ${this.state.name}`));
      else if (pending.isSent && !isRepeatable(pending.type)) {
        pending.fail(new ChatError("CONNECTION_LOST", "The connection was lost before the answer"));
      } else pending.isSent = false;
    }
  }

  #receive(event: ServerEvent): void {
    const { requestId } = event as { requestId?: string };
    if (event.type === "error") return this.#error(event, requestId);
    if (event.type === "sync_messages" || event.type === "sync_changes" || event.type === "sync_gone") {
      return this.#syncPart(event);
    }
    if (event.type === "sync_complete") return this.#syncComplete(requestId);
    if ((event.type === "message_sent" || event.type === "group_message_sent") && requestId !== undefined) {
      this.#outbox.confirm(requestId, event);
      // What a repetition confirms is not delivered again.
      if (event.duplicate) this.#timeline.expect(conversationOf(event) ?? "", event.seq);
      return;
    }
    const pending = requestId === undefined ? undefined : this.#pending.get(requestId);
    if (!pending || isChange(pending.type, event)) this.#timeline.ingest(event);
    if (isMessage(event)) this.#ackConversations.add(event.conversationId);
    this.#scheduleAck();
    pending?.done(event);
  }

  #error(event: AnyError, requestId: string | undefined): void {
    const { code, message, details, retryAfter } = event;
    if (requestId === "sync") return this.#syncFailed(code, retryAfter);
    if (requestId === undefined) return this.#logger("error", { code });
    this.#outbox.fail(requestId, code, message, retryAfter);
    const { field, errorId } = event as { field?: string; errorId?: string };
    this.#pending.get(requestId)?.fail(new ChatError(code, message, { field, errorId, details, retryAfter }));
  }

  #flushRequests(): void {
    if (!this.#connection.canSend) return;
    for (const pending of this.#pending.values()) {
      if (pending.isSent) continue;
      pending.isSent = true;
      this.#connection.send(pending.frame);
      // Only errors are answered.
      if (pending.type === "typing" || pending.type === "ack") pending.done(undefined);
    }
  }

  #incomplete(id: string): void {
    this.#toSync.add(id);
    // During a series the next one follows by itself; otherwise what is missing may be on its way.
    if (this.#syncing || this.#holeTimer !== undefined) return;
    this.#holeTimer = this.#clock.setTimeout(() => {
      this.#holeTimer = undefined;
      this.#sync();
    }, HOLE_MS);
  }

  #sync(): void {
    if (!this.#connection.canSend || this.#syncing) return;
    const asked = new Map<string, Position>();
    const conversations: Record<string, number | Position> = {};
    for (const id of this.#toSync) {
      if (asked.size === MAX_ENTRIES) break;
      const position = this.#timeline.ask(id);
      asked.set(id, position);
      conversations[id] = position.version === undefined ? position.seq : position;
      this.#toSync.delete(id);
    }
    if (asked.size === 0) return this.#connection.online();
    this.#syncing = { asked };
    this.#syncTimer = this.#clock.setTimeout(() => this.#connection.drop(), SYNC_TIMEOUT_MS);
    this.#connection.send({ type: "sync", requestId: "sync", conversations });
  }

  #syncPart(event: SyncChangesEvent | Events["sync_messages"] | { type: "sync_gone"; conversationId: string }): void {
    const asked = this.#syncing?.asked.get(event.conversationId);
    if (!asked) return;
    if (event.type === "sync_gone") return this.#timeline.gone(event.conversationId);
    if (event.type === "sync_changes") this.#timeline.changes(event, asked);
    else this.#timeline.messages(event, asked);
    this.#ackConversations.add(event.conversationId);
    this.#scheduleAck();
  }

  #syncComplete(requestId: string | undefined): void {
    if (requestId !== "sync") return;
    this.#clock.clearTimeout(this.#syncTimer);
    this.#syncing = undefined;
    this.#sync();
  }

  #syncFailed(code: string, retryAfter = 1): void {
    const asked = [...(this.#syncing?.asked.keys() ?? [])];
    this.#clock.clearTimeout(this.#syncTimer);
    this.#syncing = undefined;
    // A server without versions rejects the whole command for one conversation that is gone.
    if (code === "RESOURCE_NOT_FOUND" && asked.length === 1) {
      this.#timeline.gone(asked[0] as string);
      return this.#sync();
    }
    if (code === "RESOURCE_NOT_FOUND") return void this.#syncInHalves(asked);
    this.#logger("sync failed", { code });
    for (const id of asked) this.#toSync.add(id);
    this.#holeTimer = this.#clock.setTimeout(() => {
      this.#holeTimer = undefined;
      this.#sync();
    }, retryAfter * 1_000 * (1 + this.#random() / 5));
  }

  #syncInHalves(ids: string[]): void {
    // Halves, so that a thousand conversations with one that is gone take about twenty commands.
    const half = Math.ceil(ids.length / 2);
    const rest = [...ids.slice(half), ...this.#toSync];
    this.#toSync.clear();
    for (const id of ids.slice(0, half)) this.#toSync.add(id);
    this.#sync();
    for (const id of rest) this.#toSync.add(id);
  }

  #scheduleAck(): void {
    if (this.#ackConversations.size + this.#ackEvents.size === 0) return;
    this.#ackTimer ??= this.#clock.setTimeout(() => {
      this.#ackTimer = undefined;
      void this.#ack();
    }, ACK_AFTER_MS);
  }

  /** Confirms only what the application's handlers are done with and what is saved. */
  async #ack(): Promise<void> {
    const ids = [...this.#ackConversations].slice(0, MAX_ENTRIES);
    const eventIds = [...this.#ackEvents].slice(0, MAX_ENTRIES);
    const positions: Record<string, Position> = {};
    for (const id of ids) {
      this.#ackConversations.delete(id);
      const position = this.position(id);
      if (position) positions[id] = position;
    }
    for (const id of eventIds) this.#ackEvents.delete(id);
    const handled = this.#handled;
    this.#handled = Promise.resolve();
    try {
      await handled;
      await this.#persist?.save({ positions, seen: [...this.#timeline.seen] });
    } catch {
      // Not confirmed, so that the server delivers it again after the next start.
      return this.#logger("a handler or the persistence failed: receipt is not confirmed");
    }
    if (!this.#connection.canSend) return;
    const conversations = Object.fromEntries(Object.entries(positions).map(([id, { seq }]) => [id, seq]));
    this.#connection.send({ type: "ack", conversations, eventIds });
    this.#scheduleAck();
  }

  #save(change: Parameters<Persistence["save"]>[0]): void {
    this.#persist?.save(change).catch(() => this.#logger("persistence cannot be written"));
  }

  #emit<K extends keyof ClientEvents>(type: K, event: ClientEvents[K]): void {
    for (const handler of this.#handlers.get(type) ?? []) {
      try {
        const result = (handler as Handler<ClientEvents[K]>)(event);
        if (result) {
          this.#handled = Promise.all([this.#handled, result]);
          // Looked at when receipt is confirmed.
          this.#handled.catch(() => {});
        }
      } catch (error) {
        this.#logger("a handler threw", { type, error });
      }
    }
  }

  #uuid(): string {
    const digit = () => Math.floor(this.#random() * 16).toString(16);
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, digit);
  }
}

/** Makes a client and opens its connection. */
export function connect(options: ClientOptions): ChatClient {
  const client = new ChatClient(options);
  void client.start();
  return client;
}
