// One socket at a time, from the first token to the last close: the state machine, authentication, liveness and reconnecting.
// It knows nothing about conversations; the client above it syncs and says when that is done.
import type { AuthErrorCode, ErrorCode, Events } from "../generated/protocol";
import { afterOnline, afterRefusal, afterRestart, backoff, notBefore } from "./delay";
import type { Clock, Logger, Socket, SocketConstructor } from "./environment";
import { expiryOf, type GetToken, type TokenReason } from "./token";
import type { AnyError, ServerEvent } from "./wire";

/**
 * `online` only once everything that was missed has arrived; `retryAt` is in epoch milliseconds; `refused`, `replaced`
 * and `closed` are final.
 */
export type State =
  | { name: "idle" | "connecting" | "authenticating" | "syncing" | "online" | "replaced" | "closed" }
  | { name: "waiting"; reason: string; retryAt: number }
  | { name: "refused"; code: AuthErrorCode | ErrorCode };

export interface ConnectionOptions {
  url: string;
  getToken: GetToken;
  WebSocket: SocketConstructor;
  clock: Clock;
  random: () => number;
  logger: Logger;
}

export interface ConnectionOutput {
  state(state: State): void;
  authenticated(event: Events["auth_success"]): void;
  event(event: ServerEvent): void;
  /** The socket is gone; `code` is the close code. */
  lost(code: number): void;
}

const OPEN_TIMEOUT_MS = 15_000;
const TOKEN_TIMEOUT_MS = 30_000;
const STABLE_AFTER_MS = 10_000;
/** Each such period online undoes one doubling of the delay. */
const RECOVERS_EVERY_MS = 1_000;
const TICK_MS = 10_000;
const CLOCK_JUMP_MS = 20_000;
const PING_AFTER_MS = 60_000;
const PONG_WITHIN_MS = 15_000;
const WAKE_PONG_WITHIN_MS = 5_000;
const RENEW_BEFORE_MS = 60_000;
const LONGEST_TIMER_MS = 86_400_000;
const ABNORMAL = 1006;

export class Connection {
  state: State = { name: "idle" };
  #socket: Socket | undefined;
  #timers = new Map<string, unknown>();
  #token: string | undefined;
  #reason: TokenReason = "initial";
  #rejected = new Set<string>();
  #attempt = 0;
  #onlineSince: number | undefined;
  #isAuthenticated = false;
  #error: AnyError | undefined;
  #lastTick = 0;
  #lastHeard = 0;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly output: ConnectionOutput,
  ) {}

  open(): void {
    if (this.#isFinal() || this.#socket) return;
    this.#clear();
    this.#error = undefined;
    this.#isAuthenticated = false;
    this.#set({ name: "connecting" });
    let socket: Socket;
    try {
      socket = new this.options.WebSocket(this.options.url, "chat.v1");
    } catch {
      return this.#wait("connect", backoff(this.#attempt++, this.options.random));
    }
    this.#socket = socket;
    const mine = <T>(handle: (event: T) => void) => (event: T) => {
      if (this.#socket === socket) handle(event);
    };
    socket.onopen = mine(() => {
      this.#after("open", OPEN_TIMEOUT_MS + TOKEN_TIMEOUT_MS, () => this.drop());
      this.#set({ name: "authenticating" });
      void this.#authenticate();
    });
    socket.onmessage = mine((event) => this.#receive(event.data));
    socket.onerror = () => {};
    socket.onclose = mine((event) => this.#closed(event.code));
    this.#after("open", OPEN_TIMEOUT_MS, () => this.drop());
    this.#lastTick = this.#lastHeard = this.options.clock.now();
    this.#tick();
  }

  /** Everything that was missed has been applied. */
  online(): void {
    if (this.state.name !== "syncing") return;
    this.#onlineSince = this.options.clock.now();
    this.#set({ name: "online" });
    this.#after("stable", STABLE_AFTER_MS, () => (this.#attempt = 0));
  }

  get canSend(): boolean {
    return this.#isAuthenticated;
  }

  send(frame: object): void {
    try {
      this.#socket?.send(JSON.stringify(frame));
    } catch {
      this.drop();
    }
  }

  /** Abandons the socket without waiting for its close, and reconnects. */
  drop(): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#closed(ABNORMAL);
    try {
      socket.close();
    } catch {
      // It never opened.
    }
  }

  /** The network or the page may have come back: checks at once. */
  wake(): void {
    if (this.state.name === "waiting" && !this.#error) return this.open();
    if (this.#isAuthenticated) this.#ping(WAKE_PONG_WITHIN_MS);
  }

  close(): void {
    if (this.state.name === "closed") return;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isAuthenticated = false;
    this.#clear();
    this.#token = undefined;
    if (socket) this.output.lost(1000);
    this.#set({ name: "closed" });
    try {
      socket?.close(1000);
    } catch {
      // It never opened.
    }
  }

  async #authenticate(): Promise<void> {
    const socket = this.#socket;
    const token = this.#token && this.#reason === "initial" ? this.#token : await this.#newToken(this.#reason);
    if (this.#socket !== socket) return;
    if (token === undefined) return this.drop();
    if (this.#rejected.has(token)) return this.#refuse(this.#error?.code ?? "TOKEN_INVALID");
    this.#reason = "initial";
    this.#present(token);
  }

  async #newToken(reason: TokenReason): Promise<string | undefined> {
    const { clock, getToken, logger } = this.options;
    let timer: unknown;
    const timeout = new Promise<undefined>((resolve) => {
      timer = clock.setTimeout(() => resolve(undefined), TOKEN_TIMEOUT_MS);
    });
    try {
      // An application in JavaScript may return `null`.
      return (await Promise.race([getToken({ reason }), timeout])) ?? undefined;
    } catch {
      logger("getToken failed", { reason });
      return undefined;
    } finally {
      clock.clearTimeout(timer);
    }
  }

  #receive(data: unknown): void {
    let event: ServerEvent;
    try {
      event = JSON.parse(data as string) as ServerEvent;
    } catch {
      return;
    }
    if (typeof event?.type !== "string") return;
    this.#lastHeard = this.options.clock.now();
    this.#stop("pong");
    switch (event.type) {
      case "auth_success":
        return this.#authenticated(event);
      case "auth_error":
        return this.#notAuthenticated(event);
      case "session_conflict":
        return this.#end({ name: "replaced" });
      case "error":
        if (!this.#isAuthenticated || event.code === "AUTH_REQUIRED") this.#error = event;
        if (event.code === "AUTH_REQUIRED") return this.drop();
        break;
      case "presence_changed":
        for (const change of event.changes) this.output.event(change as ServerEvent);
        return;
    }
    this.output.event(event);
  }

  #authenticated(event: Events["auth_success"]): void {
    this.#rejected.clear();
    this.#error = undefined;
    this.#scheduleRenewal();
    if (this.#isAuthenticated) return;
    this.#isAuthenticated = true;
    this.#stop("open");
    this.#set({ name: "syncing" });
    this.output.authenticated(event);
  }

  #notAuthenticated(event: Events["auth_error"]): void {
    this.options.logger("authentication failed", { code: event.code });
    if (event.code === "TOKEN_REVOKED" || event.code === "USER_NOT_FOUND") return this.#refuse(event.code);
    // A failed renewal: the session lasts as long as its old token.
    if (this.#isAuthenticated) return;
    this.#error = event;
    if (event.code === "SERVICE_UNAVAILABLE") return this.drop();
    if (this.#token !== undefined) this.#rejected.add(this.#token);
    this.#reason = event.code === "TOKEN_EXPIRED" ? "expired" : "invalid";
    this.#token = undefined;
    // A second new token was rejected, too: the application's tokens are not for this server.
    if (this.#rejected.size > 2) return this.#refuse(event.code);
    void this.#authenticate();
  }

  #scheduleRenewal(): void {
    const expiry = this.#token && expiryOf(this.#token);
    if (!expiry) return;
    const wait = expiry - RENEW_BEFORE_MS - this.options.clock.now();
    // A token with a shorter life is renewed when the server says so.
    if (wait <= 0) return;
    this.#after("renew", Math.min(wait, LONGEST_TIMER_MS), () => {
      if (wait > LONGEST_TIMER_MS) this.#scheduleRenewal();
      else void this.#renew();
    });
  }

  async #renew(): Promise<void> {
    const socket = this.#socket;
    const token = await this.#newToken("renew");
    if (token === undefined || this.#socket !== socket || !this.#isAuthenticated || token === this.#token) return;
    this.#present(token);
  }

  #present(token: string): void {
    this.#token = token;
    this.send({ type: "authenticate", token, acks: true, presenceBatches: true });
  }

  #closed(code: number): void {
    const wasAuthenticated = this.#isAuthenticated;
    this.#socket = undefined;
    this.#isAuthenticated = false;
    this.#clear();
    this.output.lost(code);
    if (this.#isFinal()) return;
    const { random, clock } = this.options;
    const error = this.#error;
    if (this.#onlineSince !== undefined) this.#attempt = afterOnline(this.#attempt, (clock.now() - this.#onlineSince) / RECOVERS_EVERY_MS);
    this.#onlineSince = undefined;
    const attempt = this.#attempt++;
    // Revoked or expired: the server says which when the next token is presented.
    if (code === 1008 && wasAuthenticated && !error) this.#reason = "expired";
    const retryAfter = error?.retryAfter;
    if (retryAfter !== undefined && code !== 1008) return this.#wait(error?.code ?? "", notBefore(retryAfter, random));
    if (code === 1002 || code === 1007 || code === 1009 || (code === 1008 && !wasAuthenticated)) {
      const delay = Math.max(afterRefusal(attempt, random), notBefore(retryAfter ?? 0, random));
      return this.#wait(error?.code ?? String(code), delay);
    }
    if (code === 1012) return this.#wait("restart", afterRestart(attempt, random));
    this.#wait(error?.code ?? String(code), backoff(code === 1013 ? attempt + 2 : attempt, random));
  }

  #wait(reason: string, delay: number): void {
    this.#after("retry", delay, () => this.open());
    this.#set({ name: "waiting", reason, retryAt: this.options.clock.now() + delay });
  }

  #refuse(code: AuthErrorCode | ErrorCode): void {
    this.#end({ name: "refused", code });
  }

  #end(state: State): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isAuthenticated = false;
    this.#clear();
    this.#set(state);
    this.output.lost(1000);
    socket?.close(1000);
  }

  #tick(): void {
    const { clock } = this.options;
    this.#after("tick", TICK_MS, () => {
      const now = clock.now();
      const jumped = now - this.#lastTick > TICK_MS + CLOCK_JUMP_MS;
      this.#lastTick = now;
      this.#tick();
      if (!this.#isAuthenticated) return;
      if (jumped) this.#ping(WAKE_PONG_WITHIN_MS);
      else if (now - this.#lastHeard >= PING_AFTER_MS) this.#ping(PONG_WITHIN_MS);
    });
  }

  #ping(within: number): void {
    if (this.#timers.has("pong")) return;
    this.#after("pong", within, () => {
      this.#attempt = 0;
      this.drop();
    });
    this.send({ type: "ping" });
  }

  #set(state: State): void {
    this.state = state;
    this.options.logger(`state ${state.name}`);
    this.output.state(state);
  }

  #isFinal(): boolean {
    return ["refused", "replaced", "closed"].includes(this.state.name);
  }

  #after(name: string, ms: number, run: () => void): void {
    this.#stop(name);
    const timer = this.options.clock.setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, ms);
    this.#timers.set(name, timer);
  }

  #stop(name: string): void {
    this.options.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #clear(): void {
    for (const name of [...this.#timers.keys()]) this.#stop(name);
  }
}
