// Messages on their way: in order per conversation, repeated under their `clientMessageId` until the server has answered.
import type { Events, Metadata } from "../generated/protocol";
import type { Clock } from "./environment";
import { notBefore } from "./delay";
import { ChatError } from "./errors";

/** The recipient of a message, in the form of commands. */
export type Addressee = { recipientId: string } | { groupId: string };

/**
 * The recipient of a message: a user, a group, or the others in a conversation, who are known once the client has
 * signed in.
 */
export type Recipient = Addressee | { conversationId: string };

/** A message that the server has not confirmed. */
export interface OutboxItem {
  /** A UUID; the server stores no second message under it. */
  clientMessageId: string;
  to: Recipient;
  content: string;
  replyToMessageId?: string | undefined;
  metadata?: Metadata | undefined;
  /** Epoch milliseconds. */
  queuedAt: number;
  /** Set once the server has rejected it for good: retry or discard it. */
  failure?: { code: string; message: string } | undefined;
}

/** The server's confirmation: the message is stored under `messageId` and `seq`. */
export type Sent = Events["message_sent"] | Events["group_message_sent"];

export interface OutboxOutput {
  canSend(): boolean;
  send(frame: object): void;
  /** Called while messages can be sent. */
  addressee(to: Recipient): Addressee;
  /** No answer arrived: the connection cannot be trusted. */
  stalled(): void;
  changed(item: OutboxItem, removed: boolean, sent?: Sent): void;
}

const ANSWER_WITHIN_MS = 15_000;
const MAX_INTERNAL_ERRORS = 5;
const RETRYABLE: readonly string[] = ["RATE_LIMIT_EXCEEDED", "SERVICE_UNAVAILABLE", "AUTH_REQUIRED"];

interface Waiter {
  resolve(sent: Sent): void;
  reject(error: ChatError): void;
}

export class Outbox {
  readonly items = new Map<string, OutboxItem>();
  readonly #waiters = new Map<string, Waiter>();
  /** What was sent over the present connection and has not been answered, by conversation. */
  readonly #inFlight = new Map<string, { id: string; timer: unknown }>();
  readonly #internalErrors = new Map<string, number>();
  /**
   * The server is busy: nothing is sent until this timer fires. The clock is not checked again, because timers may
   * fire early.
   */
  #pause: unknown;
  #pausedUntil = 0;

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly output: OutboxOutput,
  ) {}

  /** Queues a message that is already saved. */
  add(item: OutboxItem): Promise<Sent> {
    this.items.set(item.clientMessageId, item);
    const sent = new Promise<Sent>((resolve, reject) => {
      this.#waiters.set(item.clientMessageId, { resolve, reject });
    });
    // An application that ignores the promise sees the failure in the outbox.
    sent.catch(() => {});
    this.flush();
    return sent;
  }

  retry(id: string): void {
    const item = this.items.get(id);
    if (!item?.failure) return;
    delete item.failure;
    this.output.changed(item, false);
    this.flush();
  }

  discard(id: string): void {
    const item = this.items.get(id);
    if (!item) return;
    this.#remove(item);
    this.#settle(id)?.reject(new ChatError("DISCARDED", "The message was discarded before the server confirmed it"));
  }

  /** Sends the first message of every conversation that has none in flight. */
  flush(): void {
    if (!this.output.canSend() || this.#pause !== undefined) return;
    for (const item of this.items.values()) {
      if (item.failure) continue;
      const to = (item.to = this.output.addressee(item.to));
      const key = keyOf(to);
      if (this.#inFlight.has(key)) continue;
      const id = item.clientMessageId;
      this.#inFlight.set(key, { id, timer: this.clock.setTimeout(() => this.output.stalled(), ANSWER_WITHIN_MS) });
      const type = "groupId" in to ? "send_group_message" : "send_private_message";
      const { content, replyToMessageId, metadata } = item;
      this.output.send({ type, requestId: id, ...to, content, replyToMessageId, clientMessageId: id, metadata });
    }
  }

  /** The server has stored the message. */
  confirm(id: string, sent: Sent): void {
    const item = this.items.get(id);
    if (!item) return;
    this.#remove(item, sent);
    this.#settle(id)?.resolve(sent);
    this.flush();
  }

  fail(id: string, code: string, message: string, retryAfter?: number): void {
    const item = this.items.get(id);
    if (!item) return;
    this.#arrived(item);
    const internal = code === "INTERNAL_ERROR" ? (this.#internalErrors.get(id) ?? 0) + 1 : 0;
    this.#internalErrors.set(id, internal);
    if (RETRYABLE.includes(code) || (internal > 0 && internal < MAX_INTERNAL_ERRORS)) {
      return this.#pauseFor(notBefore(retryAfter ?? 1, this.random));
    }
    item.failure = { code, message };
    this.output.changed(item, false);
    this.#settle(id)?.reject(new ChatError(code as ChatError["code"], message));
    this.flush();
  }

  /** Unanswered messages are sent again over the next connection. */
  disconnected(tooLarge: boolean): void {
    const ids = [...this.#inFlight.values()].map(({ id, timer }) => (this.clock.clearTimeout(timer), id));
    this.#inFlight.clear();
    if (tooLarge) for (const id of ids) this.fail(id, "PAYLOAD_TOO_LARGE", "The message is too large for the server");
  }

  close(): void {
    this.disconnected(false);
    this.clock.clearTimeout(this.#pause);
    for (const id of [...this.#waiters.keys()]) {
      this.#settle(id)?.reject(new ChatError("CLOSED", "The client was closed; the message stays in the outbox"));
    }
  }

  #pauseFor(ms: number): void {
    const until = this.clock.now() + ms;
    if (this.#pause !== undefined && until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    this.clock.clearTimeout(this.#pause);
    this.#pause = this.clock.setTimeout(() => {
      this.#pause = undefined;
      this.flush();
    }, ms);
  }

  #settle(id: string): Waiter | undefined {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    return waiter;
  }

  #remove(item: OutboxItem, sent?: Sent): void {
    this.items.delete(item.clientMessageId);
    this.#internalErrors.delete(item.clientMessageId);
    this.#arrived(item);
    this.output.changed(item, true, sent);
  }

  #arrived(item: OutboxItem): void {
    const flight = this.#inFlight.get(keyOf(item.to));
    if (flight?.id !== item.clientMessageId) return;
    this.clock.clearTimeout(flight.timer);
    this.#inFlight.delete(keyOf(item.to));
  }
}

export function keyOf(to: Recipient): string {
  return Object.values(to)[0] as string;
}
