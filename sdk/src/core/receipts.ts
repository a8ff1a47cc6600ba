// Confirms receipt to the server: only for what the application's handlers are done with and what is saved.
import type { Clock, Logger } from "./environment";
import type { Change } from "./persistence";
import type { Timeline } from "./timeline";
import type { Position } from "./wire";

export interface ReceiptsOutput {
  canSend(): boolean;
  send(frame: object): void;
  /** Fulfils once the handlers are done with all events they were given so far. */
  handled(): Promise<unknown>;
  save(change: Change): Promise<void> | undefined;
}

const AFTER_MS = 200;
/** The maximum number of entries in one `ack`. */
const MAX_ENTRIES = 1_000;

export class Receipts {
  readonly #conversations = new Set<string>();
  readonly #events = new Set<string>();
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

  schedule(): void {
    if (this.#conversations.size + this.#events.size === 0) return;
    this.#timer ??= this.clock.setTimeout(() => {
      this.#timer = undefined;
      void this.#confirm();
    }, AFTER_MS);
  }

  close(): void {
    this.clock.clearTimeout(this.#timer);
  }

  async #confirm(): Promise<void> {
    const ids = [...this.#conversations].slice(0, MAX_ENTRIES);
    const eventIds = [...this.#events].slice(0, MAX_ENTRIES);
    const positions: Record<string, Position> = {};
    for (const id of ids) {
      this.#conversations.delete(id);
      const position = this.timeline.positions.get(id);
      if (position) positions[id] = { ...position };
    }
    for (const id of eventIds) this.#events.delete(id);
    try {
      await this.output.handled();
      await this.output.save({ positions, seen: [...this.timeline.seen] });
    } catch {
      // Not confirmed, so that the server delivers it again after the next start.
      return this.logger("a handler or the persistence failed: receipt is not confirmed");
    }
    if (!this.output.canSend()) return;
    const conversations = Object.fromEntries(Object.entries(positions).map(([id, { seq }]) => [id, seq]));
    this.output.send({ type: "ack", conversations, eventIds });
    this.schedule();
  }
}
