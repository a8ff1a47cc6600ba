// What the client keeps across restarts, and where.
import type { OutboxItem } from "./outbox";
import type { Position } from "./wire";

/** What survives a restart. */
export interface Saved {
  /** Which history of the server's database the positions are of. */
  epoch?: string | undefined;
  positions: Record<string, Position>;
  /** Ids of durable events that were delivered, oldest first. */
  seen: string[];
  outbox: OutboxItem[];
}

/** One write; its parts become durable together. */
export interface Change {
  epoch?: string;
  positions?: Record<string, Position>;
  seen?: string[];
  gone?: string[];
  put?: OutboxItem;
  remove?: string;
}

/** Where the client keeps its state. A rejected promise is logged, and the client continues in memory. */
export interface Persistence {
  load(): Promise<Saved | undefined>;
  save(change: Change): Promise<void>;
}
