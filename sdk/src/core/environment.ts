// What the client needs from its environment: a clock, sockets, a logger and other tabs. Tests replace them.
import type { GetToken } from "./token";

/** Time as the client sees it. Replaced in tests. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/**
 * Written as a method, because TypeScript compares method parameters in both directions, so that the events of the
 * package `ws` fit, too.
 */
type Listener<T> = { listen(event: T): void }["listen"] | null;

/** The part of the browser's `WebSocket` that the client uses. */
export interface Socket {
  onopen: Listener<never>;
  onmessage: Listener<{ data: unknown }>;
  onclose: Listener<{ code: number }>;
  onerror: Listener<never>;
  send(text: string): void;
  close(code?: number): void;
}

/** The browser's `WebSocket`, that of Node 22, or that of the package `ws`. */
export type SocketConstructor = new (url: string, protocols?: string | string[]) => Socket;

/** Replaces these with its own: how tabs share one socket. */
export type Tabs = <T extends { WebSocket: SocketConstructor; getToken: GetToken }>(
  own: T,
) => { WebSocket: SocketConstructor; getToken: GetToken };

/** Receives short lines about the connection; never a token, never the content of a message. */
export type Logger = (line: string, details?: Record<string, unknown>) => void;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as number),
};

/** Calls back when the network, the page or the laptop may have come back. Returns a function that undoes this. */
export function onWake(wake: () => void): () => void {
  const listen = globalThis.addEventListener?.bind(globalThis);
  if (!listen) return () => {};
  const visible = () => {
    if (document.visibilityState === "visible") wake();
  };
  listen("online", wake);
  listen("pageshow", wake);
  globalThis.document?.addEventListener("visibilitychange", visible);
  return () => {
    removeEventListener("online", wake);
    removeEventListener("pageshow", wake);
    globalThis.document?.removeEventListener("visibilitychange", visible);
  };
}
