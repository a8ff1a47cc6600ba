// The application's handlers, and when they are done with the events they were given.
import type { Logger } from "./environment";
import type { ClientEvents, Handler } from "./options";

export class Handlers {
  readonly #byType = new Map<string, Set<Handler<never>>>();
  #done: Promise<unknown> = Promise.resolve();

  constructor(private readonly logger: Logger) {}

  on<K extends keyof ClientEvents>(type: K, handler: Handler<ClientEvents[K]>): () => void {
    let handlers = this.#byType.get(type);
    if (!handlers) this.#byType.set(type, (handlers = new Set()));
    handlers.add(handler as Handler<never>);
    return () => void handlers.delete(handler as Handler<never>);
  }

  emit<K extends keyof ClientEvents>(type: K, event: ClientEvents[K]): void {
    for (const handler of this.#byType.get(type) ?? []) {
      try {
        const result = (handler as Handler<ClientEvents[K]>)(event);
        if (result) {
          this.#done = Promise.all([this.#done, result]);
          // Checked when receipt is confirmed.
          this.#done.catch(() => {});
        }
      } catch (error) {
        this.logger("a handler threw", { type, error });
      }
    }
  }

  /** Rejects if a handler rejected since the last call. */
  takeDone(): Promise<unknown> {
    const done = this.#done;
    this.#done = Promise.resolve();
    return done;
  }
}
