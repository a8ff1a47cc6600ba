// A value that is computed on demand and can be watched.
import type { Readable } from "./types";

/** A value that is computed when it is read, and notifies its listeners once per task when it has changed. */
export class Live<T> implements Readable<T> {
  readonly #compute: () => T;
  readonly #watched: () => void;
  readonly #listeners = new Set<() => void>();
  #snapshot: { value: T } | undefined;
  #isScheduled = false;
  #meanwhile: (() => void)[] | undefined;

  /** `watched` runs when the first listener is added. */
  constructor(compute: () => T, watched = () => {}) {
    this.#compute = compute;
    this.#watched = watched;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  // Both are passed around without their object.
  readonly subscribe = (listener: () => void): (() => void) => {
    const own = () => listener();
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#watched();
    return () => void this.#listeners.delete(own);
  };

  readonly getSnapshot = (): T => (this.#snapshot ??= { value: this.#compute() }).value;

  /** The server was asked for the present state: its answer may be older than what is applied until then. */
  asked(): void {
    this.#meanwhile = [];
  }

  /** `change` may run twice, and must then have the same result. */
  apply(change: () => void): void {
    change();
    this.#meanwhile?.push(change);
    this.changed();
  }

  /** The answer has been applied. */
  answered(): void {
    const again = this.#meanwhile ?? [];
    this.#meanwhile = undefined;
    for (const change of again) change();
    this.changed();
  }

  changed(): void {
    this.#snapshot = undefined;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
