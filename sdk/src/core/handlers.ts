// The application's handlers, and when they are done with the events they were given.
import type { Logger } from "./environment";
import type { ClientEvents, Handler } from "./options";

export class Handlers {
  readonly #byType = new Map<string, Set<Handler<never>>>();
  #done: Promise<unknown> = Promise.resolve();
  #failed: object[] = [];

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
        if (typeof result !== "object") continue;
        const ended = Promise.resolve(result).catch((error: unknown) => {
          this.logger("a handler failed: receipt is not confirmed", { type, error });
          this.#failed.push(event);
        });
        this.#done = Promise.all([this.#done, ended]).then(() => {});
      } catch (error) {
        this.logger("a handler threw", { type, error });
      }
    }
  }

  /** Fulfils once the handlers are done with everything they were told so far, with the events that one of them rejected since the last call. */
  async handled(): Promise<readonly object[]> {
    await this.#done;
    const failed = this.#failed;
    this.#failed = [];
    return failed;
  }
}
