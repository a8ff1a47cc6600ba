import type { Clock } from "../src/index";

/** A clock that moves only on request. */
export class FakeClock implements Clock {
  #now = 1_800_000_000_000;
  #next = 0;
  readonly #timers = new Map<number, { at: number; run: () => void }>();

  now = (): number => this.#now;

  setTimeout = (run: () => void, ms: number): unknown => {
    // Browsers and Node truncate fractions: a timer may fire slightly before the computed time.
    this.#timers.set(++this.#next, { at: this.#now + Math.max(0, Math.trunc(ms)), run });
    return this.#next;
  };

  clearTimeout = (timer: unknown): void => void this.#timers.delete(timer as number);

  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass, and runs everything that is due in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      let first: [number, { at: number; run: () => void }] | undefined;
      for (const entry of this.#timers) if (!first || entry[1].at < first[1].at) first = entry;
      if (!first || first[1].at > end) break;
      this.#timers.delete(first[0]);
      this.#now = Math.max(this.#now, first[1].at);
      first[1].run();
    }
    this.#now = end;
    await settle();
  }

  /** A sleeping laptop: time passes, nothing runs. */
  jump(ms: number): void {
    this.#now += ms;
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await null;
}

/** A small seeded generator (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
