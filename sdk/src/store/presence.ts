// Who is online and who is typing; none of this is saved.
import type { Clock } from "../core/environment";
import { Live } from "./live";
import type { Typist } from "./types";

/** The server ends it after 3 s; this is for a server that has gone away. */
const TYPING_ENDS_MS = 6_000;

export class OnlineUsers {
  readonly live = new Live<ReadonlySet<string>>(() => new Set(this.#users));
  readonly #users = new Set<string>();

  set(userId: string, isOnline: boolean): void {
    if (this.#users.has(userId) === isOnline) return;
    if (isOnline) this.#users.add(userId);
    else this.#users.delete(userId);
    this.live.changed();
  }
}

interface Typists {
  users: Map<string, Typist & { timer: unknown }>;
  live: Live<readonly Typist[]>;
}

export class Typing {
  readonly #clock: Clock;
  readonly #conversations = new Map<string, Typists>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  live(id: string): Live<readonly Typist[]> {
    return this.#of(id).live;
  }

  set(id: string, { userId, username }: Typist, isTyping: boolean): void {
    const { users, live } = this.#of(id);
    const known = users.get(userId);
    this.#clock.clearTimeout(known?.timer);
    users.delete(userId);
    const end = () => this.set(id, { userId, username }, false);
    if (isTyping) users.set(userId, { userId, username, timer: this.#clock.setTimeout(end, TYPING_ENDS_MS) });
    if (isTyping !== !!known) live.changed();
  }

  close(): void {
    for (const { users } of this.#conversations.values()) for (const { timer } of users.values()) this.#clock.clearTimeout(timer);
  }

  #of(id: string): Typists {
    let typists = this.#conversations.get(id);
    if (!typists) {
      const users: Typists["users"] = new Map();
      this.#conversations.set(id, (typists = { users, live: new Live(() => [...users.values()]) }));
    }
    return typists;
  }
}
