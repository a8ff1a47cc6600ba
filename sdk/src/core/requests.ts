// Commands with one answer each, other than sends: they wait for a connection, and every promise is settled in the end.
import type { Answers, Commands } from "../generated/protocol";
import type { Clock } from "./environment";
import { ChatError } from "./errors";
import { isRepeatable } from "./wire";

export interface RequestOptions {
  /** 15 s by default; then the promise rejects with `TIMEOUT`. */
  timeoutMs?: number | undefined;
  /** Makes the promise reject with `ABORTED`. */
  signal?: AbortSignal | undefined;
}

/** The fields of a command, without those that the client adds. */
export type Fields<T> = T extends unknown ? Omit<T, "type" | "requestId"> : never;

interface Pending {
  type: string;
  frame: object;
  isSent: boolean;
  done(result: unknown): void;
  fail(error: ChatError): void;
}

export interface RequestsOutput {
  canSend(): boolean;
  send(frame: object): void;
  /** Why nothing will ever be sent again, if that is so. */
  ended(): ChatError | undefined;
}

const TIMEOUT_MS = 15_000;

export class Requests {
  readonly #pending = new Map<string, Pending>();
  #last = 0;

  constructor(
    private readonly clock: Clock,
    private readonly output: RequestsOutput,
  ) {}

  add<K extends keyof Commands>(
    type: K,
    fields: Fields<Commands[K]>,
    { timeoutMs = TIMEOUT_MS, signal }: RequestOptions = {},
  ): Promise<Answers[K]> {
    const requestId = `r${++this.#last}`;
    return new Promise<Answers[K]>((resolve, reject) => {
      const finish = () => {
        this.clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(requestId);
      };
      const fail = (error: ChatError) => (finish(), reject(error));
      const abort = () => fail(new ChatError("ABORTED", `${type} was aborted`));
      const timer = this.clock.setTimeout(() => {
        fail(new ChatError("TIMEOUT", `${type} was not answered within ${timeoutMs} ms`));
      }, timeoutMs);
      const done = (result: unknown) => (finish(), resolve(result as Answers[K]));
      const frame = { ...fields, type, requestId };
      this.#pending.set(requestId, { type, frame, isSent: false, done, fail });
      const ended = this.output.ended();
      if (ended) return fail(ended);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      this.flush();
    });
  }

  get(requestId: string | undefined): Pending | undefined {
    return requestId === undefined ? undefined : this.#pending.get(requestId);
  }

  /** Sends what has not been sent over the present connection. */
  flush(): void {
    if (!this.output.canSend()) return;
    for (const pending of this.#pending.values()) {
      if (pending.isSent) continue;
      pending.isSent = true;
      this.output.send(pending.frame);
      // The server answers these only with errors.
      if (pending.type === "typing" || pending.type === "ack") pending.done(undefined);
    }
  }

  /** The connection is gone: repeatable commands are sent again over the next one. */
  disconnected(): void {
    const ended = this.output.ended();
    for (const pending of [...this.#pending.values()]) {
      if (ended) pending.fail(ended);
      else if (pending.isSent && !isRepeatable(pending.type)) {
        pending.fail(new ChatError("CONNECTION_LOST", "The connection was lost before the answer"));
      } else pending.isSent = false;
    }
  }

  close(): void {
    for (const pending of [...this.#pending.values()]) pending.fail(new ChatError("CLOSED", "The client was closed"));
  }
}
