// The parts put together: the connection's events go through the timeline to the application; sends go through the outbox.
import type { Answers, Commands, Events, InboxEntry, Metadata } from "../generated/protocol";
import { CatchUp } from "./catch-up";
import { Connection, type State } from "./connection";
import { type Clock, type Logger, onWake, type SocketConstructor, systemClock } from "./environment";
import { ChatError } from "./errors";
import { Handlers } from "./handlers";
import { type AnsweredPage, type HistoryFields, type HistoryPage, type InboxPage, MAX_PAGE_SIZE, pageOf } from "./history";
import type { ClientEvents, ClientOptions, Handler } from "./options";
import { type Addressee, keyOf, Outbox, type OutboxItem, type Recipient, type Sent } from "./outbox";
import type { Change, Persistence } from "./persistence";
import { Receipts } from "./receipts";
import { type Fields, type RequestOptions, Requests } from "./requests";
import { Timeline } from "./timeline";
import { type AnyError, conversationOf, isChange, isGroup, isMessage, placeOf, type Position, recipientOf, type ServerEvent } from "./wire";

/** The server forgets it after 3 s. */
const TYPING_EVERY_MS = 2_000;
const READ_AFTER_MS = 300;
/** Repeated after a lost connection. */
const READ_WITHIN_MS = 86_400_000;

/** One user's connection to the chat, over any number of sockets one after the other. */
export class ChatClient {
  readonly #connection: Connection;
  readonly #handlers: Handlers;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #timeline: Timeline;
  readonly #catchUp: CatchUp;
  readonly #receipts: Receipts;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #logger: Logger;
  readonly #persist: Persistence | undefined;
  readonly #canConnect: boolean;
  /** When each recipient was last sent a typing sign. */
  readonly #typing = new Map<string, number>();
  /** Read marks that are about to be sent, by conversation. */
  readonly #reads = new Map<string, string>();
  #reading: Promise<unknown> | undefined;
  #stopListening: () => void = () => {};
  #me: Events["auth_success"] | undefined;
  /** Which history of the server's database the positions are of. */
  #epoch: string | undefined;

  constructor(options: ClientOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#logger = safe(options.logger);
    this.#persist = options.persist && guarded(options.persist);
    this.#handlers = new Handlers(this.#logger);
    const own = {
      getToken: options.getToken,
      WebSocket: options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor),
    };
    this.#canConnect = own.WebSocket !== undefined;
    this.#connection = new Connection(
      {
        url: options.url,
        ...(options.tabs?.(own) ?? own),
        clock: this.#clock,
        random: this.#random,
        logger: this.#logger,
      },
      {
        state: (state) => this.#handlers.emit("state", state),
        authenticated: (event) => this.#authenticated(event),
        event: (event) => this.#receive(event),
        lost: (code) => this.#lost(code),
      },
    );
    const wire = {
      canSend: () => this.#connection.canSend,
      send: (frame: object) => this.#connection.send(frame),
      addressee: (to: Recipient) => this.#addressee(to),
      stalled: () => this.#connection.drop(),
    };
    this.#outbox = new Outbox(this.#clock, this.#random, {
      ...wire,
      changed: (item, removed, sent) => {
        this.#save(removed ? { remove: item.clientMessageId } : { put: item });
        this.#handlers.emit("outbox", { item, removed, sent });
      },
    });
    this.#timeline = new Timeline({
      message: (message) => this.#handlers.emit("message", message),
      event: (event) => {
        this.#handlers.emit(event.type as keyof ClientEvents, event as never);
        this.#handlers.emit("event", event);
      },
      changes: (event) => {
        if (event.stale) this.#forget(event.conversationId);
        this.#handlers.emit("changes", event);
      },
      gone: (conversationId) => {
        this.#forget(conversationId);
        this.#handlers.emit("gone", { conversationId });
      },
      confirmed: (eventId) => this.#receipts.event(eventId),
      incomplete: (id) => this.#catchUp.incomplete(id),
    });
    this.#requests = new Requests(this.#clock, { ...wire, ended: () => this.#ended() });
    this.#catchUp = new CatchUp(this.#clock, this.#random, this.#logger, this.#timeline, {
      ...wire,
      done: () => this.#connection.online(),
    });
    this.#receipts = new Receipts(this.#clock, this.#logger, this.#timeline, {
      ...wire,
      handled: () => this.#handlers.handled(),
      save: (change) => this.#persist?.save(change),
    });
  }

  /**
   * Loads what was saved, and opens the connection. Throws `NO_WEBSOCKET` at once if there is no `WebSocket` and none
   * was passed.
   */
  start(): Promise<void> {
    if (this.#canConnect) return this.#start();
    throw new ChatError("NO_WEBSOCKET", "There is no WebSocket here: pass one as the option `WebSocket`, for example that of the package ws");
  }

  async #start(): Promise<void> {
    const saved = await this.#persist?.load().catch(() => {
      this.#logger("persistence cannot be read");
      return undefined;
    });
    if (this.state.name !== "idle") return;
    this.#epoch = saved?.epoch;
    for (const [id, position] of Object.entries(saved?.positions ?? {})) this.#timeline.track(id, position);
    for (const id of saved?.seen ?? []) this.#timeline.remember(id);
    for (const item of saved?.outbox ?? []) void this.#enqueue(item);
    this.#stopListening = onWake(() => this.#connection.wake());
    this.#connection.open();
  }

  /** The state of the connection; `on("state", …)` reports changes. */
  get state(): State {
    return this.#connection.state;
  }

  /** The signed-in user, after the first authentication. */
  get me(): Events["auth_success"]["user"] | undefined {
    return this.#me?.user;
  }

  /** Messages that the server has not confirmed, oldest first. */
  get outbox(): readonly OutboxItem[] {
    return [...this.#outbox.items.values()];
  }

  /** Calls `handler` for every event of this type from now on. Returns a function that removes the handler. */
  on<K extends keyof ClientEvents>(type: K, handler: Handler<ClientEvents[K]>): () => void {
    return this.#handlers.on(type, handler);
  }

  /**
   * Queues a message and sends it as soon as possible, however long that takes. `sent` fulfils once the server has
   * stored it, and rejects if the server rejects it, if it is discarded, or if the client is closed.
   */
  send(
    to: Recipient,
    content: string,
    replyToMessageId?: string,
    metadata?: Metadata,
  ): { clientMessageId: string; sent: Promise<Sent> } {
    const clientMessageId = this.#uuid();
    const item: OutboxItem = { clientMessageId, to, content, replyToMessageId, metadata, queuedAt: this.#clock.now() };
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
    this.#handlers.emit("outbox", { item, removed: false });
    if (this.state.name === "closed") this.#outbox.close();
    return sent;
  }

  /** Sends a message again that the server has rejected; nothing happens if it has not. Its `sent` has rejected already. */
  retry(clientMessageId: string): void {
    this.#outbox.retry(clientMessageId);
  }

  /** Removes a message from the outbox; its `sent` rejects with `DISCARDED`. The server may have stored it anyway. */
  discard(clientMessageId: string): void {
    this.#outbox.discard(clientMessageId);
  }

  /**
   * Sends any other command; it waits for a connection and fulfils with the server's answer. A query is repeated if the
   * connection is lost before the answer; anything else rejects with `CONNECTION_LOST`, and may have been applied.
   */
  request<K extends keyof Commands>(
    type: K,
    fields: Fields<Commands[K]>,
    options?: RequestOptions,
  ): Promise<Answers[K]> {
    return this.#requests.add(type, fields, options);
  }

  /** Reports somebody else's message to the moderators of the product; once per message. */
  report(messageId: string, reason: string): Promise<Answers["report_message"]> {
    return this.request("report_message", { messageId, reason });
  }

  /** Keeps a member of a group from writing, or with `ban` a user out of it: for `seconds`, or until `lift`. */
  sanction(kind: "mute" | "ban", fields: Fields<Commands["mute_member"]>): Promise<Answers["mute_member" | "ban_member"]> {
    return this.request(`${kind}_member`, fields);
  }

  /** Ends a mute or a ban. */
  lift(kind: "mute" | "ban", fields: Fields<Commands["unmute_member"]>): Promise<Answers["unmute_member" | "unban_member"]> {
    return this.request(`un${kind}_member`, fields);
  }

  /**
   * A page of a conversation's history, oldest message first; the newest messages by default. The newest message in it
   * becomes the position of a conversation that has none: from there on nothing is missed.
   */
  async history(conversationId: string, fields: HistoryFields = {}, options?: RequestOptions): Promise<HistoryPage> {
    const type = isGroup(conversationId) ? "get_group_messages" : "get_private_messages";
    const answer: AnsweredPage = await this.request(type, { ...placeOf(conversationId), ...fields } as never, options);
    const page = pageOf(answer, fields);
    this.track(conversationId, { seq: page.messages.at(-1)?.seq ?? 0, version: page.version });
    this.#timeline.page(page);
    return page;
  }

  /** Up to `count` conversations, most recently active first. From then on, nothing in them is missed. */
  async inbox(count: number, options?: RequestOptions): Promise<InboxPage> {
    const entries: InboxEntry[] = [];
    let cursor: string | null | undefined;
    let totalUnread: number;
    do {
      const limit = Math.min(MAX_PAGE_SIZE, count - entries.length);
      const answer = await this.request("get_inbox", { limit, ...(cursor ? { cursor } : {}) }, options);
      ({ nextCursor: cursor, totalUnread } = answer);
      entries.push(...answer.entries);
    } while (cursor && entries.length < count);
    for (const { conversationId, lastSeq: seq, version } of entries) this.track(conversationId, { seq, version });
    return { entries, totalUnread, hasMore: !!cursor };
  }

  /**
   * Marks a message and all before it as read. The last mark of each conversation is sent after 0.3 s, or once there is
   * a connection; the promise rejects if the server rejects one of them.
   */
  async markRead(conversationId: string, messageId: string): Promise<void> {
    this.#reads.set(conversationId, messageId);
    this.#reading ??= new Promise<void>((resolve) => this.#clock.setTimeout(resolve, READ_AFTER_MS)).then(() => this.#sendReads());
    await this.#reading;
  }

  #sendReads(): Promise<unknown> {
    const reads = [...this.#reads];
    this.#reads.clear();
    this.#reading = undefined;
    const tell = ([id, messageId]: [string, string]) =>
      this.request("mark_message_read", { messageId, ...placeOf(id) }, { timeoutMs: READ_WITHIN_MS });
    return Promise.all(reads.map(tell));
  }

  /** Call it on every keystroke. The others are notified at most every 2 s; without a connection nothing is sent. */
  typing(to: Recipient, isTyping: boolean): void {
    const told = this.#typing.get(keyOf(to));
    const now = this.#clock.now();
    if (this.state.name !== "online" || (isTyping ? told && now - told < TYPING_EVERY_MS : !told)) return;
    this.#typing.set(keyOf(to), isTyping ? now : 0);
    this.#connection.send({ type: "typing", ...this.#addressee(to), isTyping });
  }

  #addressee(to: Recipient): Addressee {
    return "conversationId" in to ? recipientOf(to.conversationId, this.me?.userId) : to;
  }

  /**
   * Sets the position of a conversation of which the application has loaded a page; from there on nothing is missed.
   */
  track(conversationId: string, position: Position): void {
    this.#timeline.track(conversationId, position);
    this.#receipts.conversation(conversationId);
    this.#receipts.schedule();
  }

  /** How far this client has the conversation without a gap; `undefined` if it does not follow it. */
  position(conversationId: string): Position | undefined {
    const position = this.#timeline.positions.get(conversationId);
    return position && { ...position };
  }

  /** Checks the connection at once, as the client does when the browser reports that the network is back. */
  wake(): void {
    this.#connection.wake();
  }

  /** Ends everything for good; every pending promise rejects. */
  close(): void {
    this.#stopListening();
    this.#requests.close();
    this.#connection.close();
    this.#outbox.close();
    this.#catchUp.close();
    this.#receipts.close();
  }

  #ended(): ChatError | undefined {
    const { name } = this.state;
    if (name === "closed") return new ChatError("CLOSED", "The client is closed");
    if (name === "refused" || name === "replaced") return new ChatError("REFUSED", `The connection has ended: ${name}`);
    return undefined;
  }

  #authenticated(event: Events["auth_success"]): void {
    this.#me = event;
    this.#enter(event.epoch);
    this.#handlers.emit("auth_success", event);
    this.#catchUp.all();
    this.#outbox.flush();
    this.#requests.flush();
  }

  /** Numbers and versions of another epoch may stand for something else. */
  #enter(epoch: string | undefined): void {
    if (epoch === undefined || epoch === this.#epoch) return;
    // Saved last: after a crash in between, the next start drops the rest.
    if (this.#epoch !== undefined) this.#timeline.restored();
    this.#epoch = epoch;
    this.#save({ epoch });
  }

  #forget(id: string): void {
    this.#receipts.forget(id);
    this.#save({ gone: [id] });
  }

  #lost(code: number): void {
    this.#catchUp.disconnected();
    this.#outbox.disconnected(code === 1009);
    this.#requests.disconnected();
  }

  #receive(event: ServerEvent): void {
    const { requestId } = event as { requestId?: string };
    if (event.type === "error") return this.#error(event, requestId);
    if (event.type === "sync_messages" || event.type === "sync_changes" || event.type === "sync_gone") {
      if (this.#catchUp.part(event)) this.#receipts.conversation(event.conversationId);
      return this.#receipts.schedule();
    }
    if (event.type === "sync_complete") return requestId === "sync" ? this.#catchUp.complete() : undefined;
    if ((event.type === "message_sent" || event.type === "group_message_sent") && requestId !== undefined) {
      this.#outbox.confirm(requestId, event);
      // The message that a repetition confirms is not delivered again.
      if (event.duplicate) this.#timeline.expect(conversationOf(event) ?? "", event.seq);
      return;
    }
    if (event.type === "epoch_changed") this.#enter(event.epoch);
    const pending = this.#requests.get(requestId);
    if (!pending || isChange(pending.type, event)) this.#timeline.ingest(event);
    if (isMessage(event) || event.version !== undefined) this.#receipts.conversation(conversationOf(event) ?? "");
    this.#receipts.schedule();
    pending?.done(event);
  }

  #error(event: AnyError, requestId: string | undefined): void {
    const { code, message, details, retryAfter } = event;
    if (requestId === "sync") return this.#catchUp.failed(code, retryAfter);
    if (requestId === undefined) return this.#logger("error", { code });
    this.#outbox.fail(requestId, code, message, retryAfter);
    const { field, errorId } = event as { field?: string; errorId?: string };
    this.#requests.get(requestId)?.fail(new ChatError(code, message, { field, errorId, details, retryAfter }));
  }

  #save(change: Change): void {
    this.#persist?.save(change).catch(() => this.#logger("persistence cannot be written"));
  }

  #uuid(): string {
    const digit = () => Math.floor(this.#random() * 16).toString(16);
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, digit);
  }
}

/** An exception of the logger must not stop the client. */
function safe(logger: Logger | undefined): Logger {
  return (line, details) => {
    try {
      logger?.(line, details);
    } catch {
      // There is no one else to tell.
    }
  };
}

/** Turns its exceptions into rejections. */
function guarded(persist: Persistence): Persistence {
  return { load: async () => persist.load(), save: async (change) => persist.save(change) };
}

/** Creates a client and opens its connection. Throws `NO_WEBSOCKET` if there is no `WebSocket` and none was passed. */
export function connect(options: ClientOptions): ChatClient {
  const client = new ChatClient(options);
  void client.start();
  return client;
}
