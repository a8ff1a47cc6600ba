// Confirms receipt to the server: only for what the application's handlers are done with and what is saved.
import type { Clock, Logger } from "./environment";
import type { Change } from "./persistence";
import type { Timeline } from "./timeline";
import { conversationOf, type Position } from "./wire";

export interface ReceiptsOutput {
  canSend(): boolean;
  send(frame: object): void;
  /** Fulfils once the handlers are done with everything that they were told so far, with the events that they failed to handle. */
  handled(): Promise<readonly object[]>;
  save(change: Change): Promise<void> | undefined;
}

const AFTER_MS = 200;
/** The maximum number of entries in one `ack`. */
const MAX_ENTRIES = 1_000;

export class Receipts {
  readonly #conversations = new Set<string>();
  readonly #events = new Set<string>();
  /** What the confirmation under way is about. */
  #positions: Record<string, Position> | undefined;
  /** A handler failed in them: the server has to deliver it again after the next start, and so nothing beyond it is confirmed. */
  readonly #failed = new Set<string>();
  #timer: unknown;

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly timeline: Timeline,
    private readonly output: ReceiptsOutput,
  ) {}

  /** Something in the conversation has arrived; `schedule` confirms it. */
  conversation(id: string): void {
    this.#conversations.add(id);
  }

  event(eventId: string): void {
    this.#events.add(eventId);
  }

  /** Nothing is held of the conversation any more: its position, also one that is about to be saved, means nothing. */
  forget(id: string): void {
    this.#conversations.delete(id);
    this.#failed.delete(id);
    delete this.#positions?.[id];
  }

  schedule(): void {
    if (this.#conversations.size + this.#events.size === 0) return;
    this.#timer ??= this.clock.setTimeout(() => {
      this.#timer = undefined;
      // One at a time: what a handler fails at meanwhile belongs to this one or to the next.
      if (!this.#positions) void this.#confirm();
    }, AFTER_MS);
  }

  close(): void {
    this.clock.clearTimeout(this.#timer);
  }

  async #confirm(): Promise<void> {
    const positions: Record<string, Position> = (this.#positions = {});
    for (const id of this.#conversations) {
      const position = this.timeline.positions.get(id);
      if (position) positions[id] = { ...position };
    }
    const events = new Set(this.#events);
    const seen = new Set(this.timeline.seen);
    this.#conversations.clear();
    this.#events.clear();
    for (const event of await this.output.handled()) this.#fail(event, events, seen);
    for (const id of this.#failed) delete positions[id];
    try {
      await this.output.save({ positions, seen: [...seen] });
      this.#acknowledge(positions, [...events]);
    } catch {
      this.logger("persistence cannot be written: receipt is not confirmed");
    }
    this.#positions = undefined;
    this.schedule();
  }

  #fail(event: object, ...eventIds: Set<string>[]): void {
    const { eventId = "" } = event as { eventId?: string };
    for (const ids of [...eventIds, this.#events, this.timeline.seen]) ids.delete(eventId);
    const id = conversationOf(event);
    if (id !== undefined) this.#failed.add(id);
  }

  #acknowledge(positions: Record<string, Position>, eventIds: string[]): void {
    const entries = Object.entries(positions).map(([id, { seq }]) => [id, seq] as const);
    while (this.output.canSend() && entries.length + eventIds.length > 0) {
      const conversations = Object.fromEntries(entries.splice(0, MAX_ENTRIES));
      this.output.send({ type: "ack", conversations, eventIds: eventIds.splice(0, MAX_ENTRIES) });
    }
  }
}
