// Turns what arrives, in any order and any number of times, into one stream per conversation: every message once, in
// the order of `seq`, and every change once, in the order of `version`.
import type { Events, Message, SyncChangesEvent } from "../generated/protocol";
import { conversationOf, isMessage, type MessageFrame, type Position, type ServerEvent } from "./wire";

export interface TimelineOutput {
  message(message: Message): void;
  event(event: ServerEvent): void;
  changes(event: SyncChangesEvent): void;
  gone(conversationId: string): void;
  /** A durable event has been handled. */
  confirmed(eventId: string): void;
  /** Something is missing that only `sync` can bring. */
  incomplete(conversationId: string): void;
}

/** Enough for several of the server's replays of 1,000 events. */
const MAX_SEEN_EVENTS = 5_000;
/** How many message ids of a conversation are remembered. */
const MAX_RECENT = 20;
/** Versions are positive. */
const BEFORE_ANY_CHANGE = 0;

export class Timeline {
  readonly positions = new Map<string, Position>();
  /** Ids of durable events that were delivered, oldest first. */
  readonly seen = new Set<string>();
  /** What arrived ahead of something missing, in order of arrival. */
  readonly #held = new Map<string, ServerEvent[]>();

  /** Which message recently had which number. */
  readonly #recent = new Map<string, Map<number, string>>();

  constructor(private readonly output: TimelineOutput) {}

  /** Adopts the position of a page that the application has loaded, unless the conversation already has one. */
  track(conversationId: string, position: Position): void {
    const known = this.#begin(conversationId, position);
    // A replayed message has no version; the page has one.
    if (known.seq === position.seq && !this.#held.has(conversationId)) known.version ??= position.version;
  }

  /**
   * A page that the application has loaded, oldest message first. What is newer than the position has arrived with it, or the application
   * would hold messages whose changes no `sync` asks for.
   */
  page({ messages, hasBefore }: { messages: readonly Message[]; hasBefore: boolean }): void {
    const [first] = messages;
    const position = first && this.positions.get(first.conversationId);
    if (!position) return;
    const goesOn = !hasBefore || first.seq <= position.seq + 1;
    for (const message of messages) {
      // By its id a number that comes again is told apart from a repetition.
      if (message.seq > position.seq - MAX_RECENT) this.#know(message);
      if (!goesOn || message.seq <= position.seq) continue;
      position.seq = message.seq;
      this.output.message(message);
    }
    this.#drain(first.conversationId);
  }

  /**
   * The position to send in a `sync`; `undefined` if the conversation is no longer followed. The answer to it contains
   * everything that was held back until now.
   */
  ask(conversationId: string): Position | undefined {
    const position = this.positions.get(conversationId);
    const held = this.#held.get(conversationId) ?? [];
    this.#held.delete(conversationId);
    for (const event of held) if (isUnordered(event)) this.#event(event);
    return position && { ...position };
  }

  /** The server has said that a message with this number exists. */
  expect(conversationId: string, seq: number): void {
    if (this.#begin(conversationId, { seq: seq - 1 }).seq < seq) this.output.incomplete(conversationId);
  }

  /** Handles a live or replayed event, or the direct answer to a command of this client. */
  ingest(event: ServerEvent): void {
    const id = conversationOf(event);
    if (id === undefined) return this.#event(event);
    if (isMessage(event)) {
      this.#rewinds(id, event);
      this.#begin(id, { seq: event.seq - 1, version: before(event.version) });
    }
    const held = this.#held.get(id);
    if (held) held.push(event);
    else if (this.#isAhead(id, event)) this.#held.set(id, [event]);
    else return this.#apply(id, event);
    this.#drain(id);
    if (this.#held.has(id)) this.output.incomplete(id);
  }

  /** Handles the part of a `sync` about what the client already has. `asked` is the position that was sent. */
  changes(event: SyncChangesEvent, asked: Position): void {
    const position = this.positions.get(event.conversationId);
    // Dropped meanwhile.
    if (!position) return;
    // What arrived meanwhile is newer than this answer.
    if (!event.stale && position.version !== undefined && event.version <= position.version) return;
    if (moved(position, asked)) return this.output.incomplete(event.conversationId);
    if (event.stale) return this.#drop(event);
    this.output.changes(event);
    if (!event.hasMore) return;
    position.version = asked.version = event.version;
    this.output.incomplete(event.conversationId);
  }

  /** Handles the part of a `sync` about newer messages. Returns where to continue. */
  messages(event: Events["sync_messages"] & { version?: number }, asked: Position): void {
    const id = event.conversationId;
    let position = this.positions.get(id);
    if (!position) return;
    const { version } = event;
    const overtaken = moved(position, asked);
    if (version !== undefined && version > (position.version ?? BEFORE_ANY_CHANGE) && overtaken) {
      return this.output.incomplete(id);
    }
    if (version !== undefined && position.version === undefined && asked.seq > 0) {
      position.version = BEFORE_ANY_CHANGE;
      return this.output.incomplete(id);
    }
    for (const message of event.messages) {
      if (this.#rewinds(id, message)) position = this.#begin(id, { seq: message.seq - 1, version: before(version) });
      if (message.seq <= position.seq) continue;
      position.seq = message.seq;
      this.#output(message);
    }
    if (version !== undefined && version > (position.version ?? 0)) position.version = version;
    if (event.hasMore) return this.output.incomplete(id);
    if (version !== undefined) this.#dropReplayed(id, position);
    this.#drain(id);
    if (this.#held.has(id)) this.output.incomplete(id);
  }

  gone(conversationId: string): void {
    this.#forget(conversationId);
    this.output.gone(conversationId);
  }

  /** The server's database has another history than the one that everything here is of. */
  restored(): void {
    this.#held.clear();
    for (const id of [...this.positions.keys()]) this.#stale(id);
  }

  /** What was replayed and is not in a later answer has been deleted since. If it is newer than the answer, another one brings it. */
  #dropReplayed(id: string, position: Position): void {
    const held = this.#held.get(id) ?? [];
    const replayed = held.filter((event) => isMessage(event) && event.version === undefined) as MessageFrame[];
    if (replayed.some(({ seq }) => seq > position.seq)) this.output.incomplete(id);
    this.#held.set(id, held.filter((event) => !replayed.includes(event as MessageFrame)));
  }

  #stale(id: string): void {
    this.#drop({ type: "sync_changes", conversationId: id, stale: true, version: BEFORE_ANY_CHANGE, timestamp: "" });
  }

  /**
   * The client's data differs from the server's, perhaps even the numbers: the new position is that of what the
   * application loads next, or of the next message.
   */
  #drop(event: SyncChangesEvent): void {
    const id = event.conversationId;
    const held = this.#held.get(id) ?? [];
    this.#forget(id);
    this.output.changes(event);
    for (const one of held) this.ingest(one);
  }

  #forget(id: string): void {
    this.positions.delete(id);
    this.#recent.delete(id);
    this.#held.delete(id);
  }

  #begin(id: string, at: Position): Position {
    let position = this.positions.get(id);
    if (!position) this.positions.set(id, (position = { ...at }));
    return position;
  }

  #isAhead(id: string, event: ServerEvent): boolean {
    const position = this.positions.get(id);
    if (!position) return false;
    // What the client has came without a version, and may be older than any change: only `sync` can tell.
    if (event.version !== undefined) position.version ??= BEFORE_ANY_CHANGE;
    if (isMessage(event) && event.seq > position.seq + 1) return true;
    return event.version !== undefined && position.version !== undefined && event.version > position.version + 1;
  }

  /** An event without its own number waits for what came before it: it may be about a message that is held back. */
  #isNext(id: string, event: ServerEvent, place: number): boolean {
    return isUnordered(event) ? place === 0 : !this.#isAhead(id, event);
  }

  #drain(id: string): void {
    const held = this.#held.get(id);
    if (!held) return;
    for (let index; (index = held.findIndex((event, place) => this.#isNext(id, event, place))) >= 0; ) {
      const [event] = held.splice(index, 1);
      if (event) this.#apply(id, event);
    }
    if (held.length === 0) this.#held.delete(id);
  }

  #apply(id: string, event: ServerEvent): void {
    const { version } = event;
    if (isMessage(event)) {
      const current = this.#begin(id, { seq: event.seq - 1 });
      if (event.seq <= current.seq) {
        // This may not be a repetition: the server knows if it has gone back in time.
        if (!this.#recent.get(id)?.has(event.seq)) this.output.incomplete(id);
        return;
      }
      current.seq = event.seq;
      current.version = version ?? current.version;
      const { type: _, version: __, ...message } = event;
      return this.#output(message);
    }
    const position = this.positions.get(id);
    if (!position || version === undefined) return this.#event(event);
    // The version identifies a repetition, so its id need not be remembered.
    const { eventId } = event as { eventId?: string };
    if (eventId !== undefined) this.output.confirmed(eventId);
    if (position.version !== undefined && version <= position.version) return;
    position.version = version;
    this.output.event(event);
  }

  #output(message: Message): void {
    this.#know(message);
    this.output.message(message);
  }

  #know({ conversationId, seq, messageId }: Message): void {
    let recent = this.#recent.get(conversationId);
    if (!recent) this.#recent.set(conversationId, (recent = new Map()));
    recent.set(seq, messageId);
    if (recent.size > MAX_RECENT) recent.delete(recent.keys().next().value as number);
  }

  /**
   * Returns true if another message had this number: the server's database was restored from a backup, or lost what it
   * stored last. Then the client drops what it has of the conversation, and everything from here on is new.
   */
  #rewinds(id: string, { seq, messageId }: { seq: number; messageId: string }): boolean {
    const known = this.#recent.get(id)?.get(seq);
    if (known === undefined || known === messageId) return false;
    this.#stale(id);
    return true;
  }

  #event(event: ServerEvent): void {
    if (!this.#confirm(event)) return;
    this.output.event(event);
  }

  /** Returns false for a repetition. */
  #confirm(event: ServerEvent): boolean {
    const { eventId } = event as { eventId?: string };
    if (eventId === undefined) return true;
    this.output.confirmed(eventId);
    if (this.seen.has(eventId)) return false;
    this.remember(eventId);
    return true;
  }

  remember(eventId: string): void {
    this.seen.add(eventId);
    if (this.seen.size > MAX_SEEN_EVENTS) for (const oldest of this.seen) return void this.seen.delete(oldest);
  }
}

function isUnordered(event: ServerEvent): boolean {
  return !isMessage(event) && event.version === undefined;
}

function moved(position: Position, asked: Position): boolean {
  return position.seq !== asked.seq || position.version !== asked.version;
}

function before(version: number | undefined): number | undefined {
  return version === undefined ? undefined : version - 1;
}
