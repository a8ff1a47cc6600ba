// What an application gives to a client, and what it can listen to.
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
  /** Called whenever a token is needed; `reason` tells whether the last one may be given again. */
  getToken: GetToken;
  /** Keeps positions and the outbox for the next start: `indexedDb({name: userId})` of `./persist`. The default is nowhere. */
  persist?: Persistence | undefined;
  /** One socket for all tabs of the browser: `shareSocket({name: userId})` of `./tabs`. */
  tabs?: Tabs | undefined;
  /** Gets short lines about the connection. The default logs nothing. */
  logger?: Logger | undefined;
  /** The default is the global `WebSocket`, which Node has since version 22. On older versions, pass the one of the package `ws`. */
  WebSocket?: SocketConstructor | undefined;
  /** For tests. */
  clock?: Clock | undefined;
  /** Uniform in [0, 1), for delays and ids. The default is `Math.random`. */
  random?: (() => number) | undefined;
}

/** What `on` can listen to: the server's events by their `type`, and what the client makes of them. */
export interface ClientEvents extends Omit<Events, "new_message" | "new_group_message" | "group_announcement"> {
  /** Every message of every conversation once, in the order of `seq`. */
  message: Message;
  /** Everything else that happened, durable or not; also under its own type. */
  event: ServerEvent;
  /** What changed in a conversation while this client was away; with `stale`, drop what you hold of it and load it again. */
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
