// What an application passes to a client, and what it can listen to.
import type { Events, Message, SyncChangesEvent } from "../generated/protocol";
import type { State } from "./connection";
import type { Clock, Logger, SocketConstructor, Tabs } from "./environment";
import type { OutboxItem, Sent } from "./outbox";
import type { Persistence } from "./persistence";
import type { GetToken } from "./token";
import type { ServerEvent } from "./wire";

export interface ClientOptions {
  /** `wss://…` of any gateway. */
  url: string;
  /** Called whenever a token is needed; `reason` says whether the last one may be returned again. */
  getToken: GetToken;
  /**
   * Keeps positions and the outbox for the next start: `indexedDb({name: userId})` of `./persist`. By default nothing
   * is kept.
   */
  persist?: Persistence | undefined;
  /** One socket for all tabs of the browser: `shareSocket({name: userId})` of `./tabs`. */
  tabs?: Tabs | undefined;
  /** Receives short lines about the connection. By default nothing is logged. */
  logger?: Logger | undefined;
  /**
   * The default is the global `WebSocket`, which Node has had since version 22. On older versions, pass that of the
   * package `ws`.
   */
  WebSocket?: SocketConstructor | undefined;
  /** For tests. */
  clock?: Clock | undefined;
  /** Uniform in [0, 1), for delays and ids. The default is `Math.random`. */
  random?: (() => number) | undefined;
}

/** What `on` can listen to: the server's events by their `type`, and what the client derives from them. */
export interface ClientEvents extends Omit<Events, "new_message" | "new_group_message" | "group_announcement" | "presence_changed"> {
  /** Every message of every conversation once, in the order of `seq`. */
  message: Message;
  /** Everything else that happened, durable or not; also under its own type. */
  event: ServerEvent;
  /**
   * What changed in a conversation while this client was away; with `stale`, discard what you have of it and load it
   * again.
   */
  changes: SyncChangesEvent;
  /** The conversation no longer exists for this user. */
  gone: { conversationId: string };
  /** The state of the connection has changed. */
  state: State;
  /** A message was queued, failed, confirmed (`removed` and `sent`) or discarded (`removed`). */
  outbox: { item: OutboxItem; removed: boolean; sent?: Sent | undefined };
}

/** A handler may return a promise: receipt is confirmed to the server only after it is fulfilled. Anything else is ignored. */
export type Handler<T> = (event: T) => unknown;
