import type { Readable } from "./types";

/** A value that is computed when it is looked at, and tells its listeners once per task that it has changed. */
export class Live<T> implements Readable<T> {
  readonly #listeners = new Set<() => void>();
  #snapshot: { value: T } | undefined;
  #isScheduled = false;
  wasWatched = false;

  /** `watched` runs when a first listener comes. */
  constructor(
    private readonly compute: () => T,
    private readonly watched: () => void = () => {},
  ) {}

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  // Both are passed around without their object.
  readonly subscribe = (listener: () => void): (() => void) => {
    const own = () => listener();
    this.#listeners.add(own);
    this.wasWatched = true;
    if (this.#listeners.size === 1) this.watched();
    return () => void this.#listeners.delete(own);
  };

  readonly getSnapshot = (): T => (this.#snapshot ??= { value: this.compute() }).value;

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
