// Requests what the timeline is missing: one `sync` at a time, with as many conversations as the server accepts, until
// nothing is missing.
import type { Events, SyncChangesEvent } from "../generated/protocol";
import type { Clock, Logger } from "./environment";
import type { Timeline } from "./timeline";
import type { Position } from "./wire";
import { notBefore } from "./delay";

export interface CatchUpOutput {
  canSend(): boolean;
  send(frame: object): void;
  /** Nothing is missing. */
  done(): void;
  /** No answer arrived: the connection cannot be trusted. */
  stalled(): void;
}

export type SyncPart = SyncChangesEvent | Events["sync_messages"] | { type: "sync_gone"; conversationId: string };

/** What is missing may still be on its way. */
const HOLE_MS = 1_000;
const TIMEOUT_MS = 30_000;
/** The maximum number of conversations in one `sync`. */
const MAX_ENTRIES = 1_000;

export class CatchUp {
  /** Conversations to ask about. */
  readonly #missing = new Set<string>();
  /** What the current `sync` asked for. */
  #asked: Map<string, Position> | undefined;
  #later: unknown;
  #timeout: unknown;

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly logger: Logger,
    private readonly timeline: Timeline,
    private readonly output: CatchUpOutput,
  ) {}

  /** After a new login anything may be missing. */
  all(): void {
    for (const id of this.timeline.positions.keys()) this.#missing.add(id);
    this.#next();
  }

  incomplete(id: string): void {
    this.#missing.add(id);
    // During a series, the next one follows by itself.
    if (!this.#asked && this.#later === undefined) this.#nextAfter(HOLE_MS);
  }

  /** Returns false if this is not the answer to anything that was asked. */
  part(event: SyncPart): boolean {
    const asked = this.#asked?.get(event.conversationId);
    if (!asked) return false;
    if (event.type === "sync_gone") this.timeline.gone(event.conversationId);
    else if (event.type === "sync_changes") this.timeline.changes(event, asked);
    else this.timeline.messages(event, asked);
    return event.type !== "sync_gone";
  }

  complete(): void {
    this.disconnected();
    this.#next();
  }

  failed(code: string, retryAfter = 1): void {
    const asked = [...(this.#asked?.keys() ?? [])];
    this.disconnected();
    // A server without versions rejects the whole command if one conversation is gone.
    if (code === "RESOURCE_NOT_FOUND" && asked.length === 1) {
      this.timeline.gone(asked[0] as string);
      return this.#next();
    }
    if (code === "RESOURCE_NOT_FOUND") return this.#inHalves(asked);
    this.logger("sync failed", { code });
    for (const id of asked) this.#missing.add(id);
    this.#nextAfter(notBefore(retryAfter, this.random));
  }

  /** Nothing is in progress any more. */
  disconnected(): void {
    this.#asked = undefined;
    this.clock.clearTimeout(this.#timeout);
  }

  close(): void {
    this.clock.clearTimeout(this.#later);
  }

  #nextAfter(ms: number): void {
    this.#later = this.clock.setTimeout(() => {
      this.#later = undefined;
      this.#next();
    }, ms);
  }

  #next(): void {
    if (!this.output.canSend() || this.#asked) return;
    const asked = new Map<string, Position>();
    const conversations: Record<string, number | Position> = {};
    for (const id of this.#missing) {
      if (asked.size === MAX_ENTRIES) break;
      this.#missing.delete(id);
      const position = this.timeline.ask(id);
      if (!position) continue;
      asked.set(id, position);
      conversations[id] = position.version === undefined ? position.seq : position;
    }
    if (asked.size === 0) return this.output.done();
    this.#asked = asked;
    this.#timeout = this.clock.setTimeout(() => this.output.stalled(), TIMEOUT_MS);
    this.output.send({ type: "sync", requestId: "sync", conversations });
  }

  #inHalves(ids: string[]): void {
    // Halves the list, so that a thousand conversations, one of them gone, take about twenty commands.
    const half = Math.ceil(ids.length / 2);
    const rest = [...ids.slice(half), ...this.#missing];
    this.#missing.clear();
    for (const id of ids.slice(0, half)) this.#missing.add(id);
    this.#next();
    for (const id of rest) this.#missing.add(id);
  }
}
