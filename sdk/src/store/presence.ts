// Who is online and who is typing: nothing that is kept.
import type { Clock } from "../core/environment";
import { Live } from "./live";
import type { Typist } from "./types";

/** The server ends it after 3 s; this is for a server that went away. */
const TYPING_ENDS_MS = 6_000;
/** The server forgets it after 3 s. */
const TELL_TYPING_EVERY_MS = 2_000;

export class Presence {
  readonly live = new Live<ReadonlySet<string>>(() => new Set(this.#users));
  readonly #users = new Set<string>();

  set(userId: string, isOnline: boolean): void {
    if (this.#users.has(userId) === isOnline) return;
    if (isOnline) this.#users.add(userId);
    else this.#users.delete(userId);
    this.live.changed();
  }
}

export class Typing {
  readonly #lives = new Map<string, Live<readonly Typist[]>>();
  readonly #typists = new Map<string, Map<string, Typist & { timer: unknown }>>();
  readonly #told = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  live(id: string): Live<readonly Typist[]> {
    let live = this.#lives.get(id);
    if (!live) {
      const typists = () => [...(this.#typists.get(id)?.values() ?? [])];
      live = new Live<readonly Typist[]>(() => typists().map(({ userId, username }) => ({ userId, username })));
      this.#lives.set(id, live);
    }
    return live;
  }

  set(id: string, { userId, username }: Typist, isTyping: boolean): void {
    let typists = this.#typists.get(id);
    const known = typists?.get(userId);
    if (!isTyping && !known) return;
    if (!typists) this.#typists.set(id, (typists = new Map()));
    this.clock.clearTimeout(known?.timer);
    typists.delete(userId);
    const end = () => this.set(id, { userId, username }, false);
    if (isTyping) typists.set(userId, { userId, username, timer: this.clock.setTimeout(end, TYPING_ENDS_MS) });
    if (isTyping !== (known !== undefined)) this.#lives.get(id)?.changed();
  }

  /** Whether the server has to be told about a keystroke or its end. */
  mustTell(id: string, isTyping: boolean): boolean {
    const told = this.#told.get(id);
    if (!isTyping) return this.#told.delete(id);
    const now = this.clock.now();
    if (told !== undefined && now - told < TELL_TYPING_EVERY_MS) return false;
    this.#told.set(id, now);
    return true;
  }

  close(): void {
    for (const typists of this.#typists.values()) for (const { timer } of typists.values()) this.clock.clearTimeout(timer);
    this.#typists.clear();
  }
}
