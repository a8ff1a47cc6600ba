// IndexedDB behind the client and the store, one database per user.
import type { Change, OutboxItem, Persistence, Position, Saved } from "./index";
import type { Cached, ChatMessage, InboxEntry, StoreCache } from "./store";

export interface IndexedDbOptions {
  /** Distinguishes the users of one browser; use the user id. */
  name: string;
  /** The browser's by default. */
  indexedDB?: IDBFactory | undefined;
}

const VERSION = 2;
const OPEN_WITHIN_MS = 5_000;
const RETRY_AFTER_MS = 60_000;
const CACHE_AFTER_MS = 1_000;
const MAX_MESSAGES = 50;
const MAX_ENTRIES = 200;
const STORES = ["positions", "outbox", "state", "messages"] as const;

/**
 * Keeps positions, seen events and the outbox, and in `cache` what a store shows first. Without IndexedDB (private
 * mode, a full disk, another tab that blocks the upgrade) its promises reject, and the client continues in memory.
 */
export function indexedDb({ name, indexedDB }: IndexedDbOptions): Persistence & { cache: StoreCache } {
  let database: Promise<IDBDatabase> | undefined;
  let retryAt = Infinity;
  const open = () => {
    // Otherwise each message would wait for a database that does not open.
    if (database && Date.now() < retryAt) return database;
    retryAt = Infinity;
    database = openDatabase(indexedDB ?? globalThis.indexedDB, `chat-${name}`, () => (database = undefined));
    database.catch(() => (retryAt = Date.now() + RETRY_AFTER_MS));
    return database;
  };

  /** Resolves with what `run` returns once all that it wrote is durable. */
  const transact = async (mode: IDBTransactionMode, run: (store: (name: Store) => IDBObjectStore) => void): Promise<void> => {
    const transaction = (await open()).transaction(STORES, mode);
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("The write was aborted"));
    });
    run((store) => transaction.objectStore(store));
    await done;
  };

  const readAll = async <T>(from: Store): Promise<Record<string, T>> => {
    let keys: IDBRequest<IDBValidKey[]> | undefined;
    let values: IDBRequest<T[]> | undefined;
    await transact("readonly", (store) => {
      keys = store(from).getAllKeys();
      values = store(from).getAll();
    });
    return Object.fromEntries(keys?.result.map((key, place) => [key, values?.result[place]]) ?? []) as Record<string, T>;
  };

  return {
    async load(): Promise<Saved> {
      const [positions, outbox, state] = await Promise.all([
        readAll<Position>("positions"),
        readAll<OutboxItem>("outbox"),
        readAll<string[] & string>("state"),
      ]);
      return {
        epoch: state.epoch,
        positions,
        seen: state.seen ?? [],
        outbox: Object.values(outbox).sort((a, b) => a.queuedAt - b.queuedAt),
      };
    },

    save: (change: Change): Promise<void> =>
      transact("readwrite", (store) => {
        for (const [id, position] of Object.entries(change.positions ?? {})) store("positions").put(position, id);
        for (const id of change.gone ?? []) store("positions").delete(id);
        if (change.seen) store("state").put(change.seen, "seen");
        if (change.epoch) store("state").put(change.epoch, "epoch");
        if (change.put) store("outbox").put(change.put, change.put.clientMessageId);
        if (change.remove) store("outbox").delete(change.remove);
      }),

    cache: cacheIn(transact, readAll),
  };
}

type Store = (typeof STORES)[number];
type Transact = (mode: IDBTransactionMode, run: (store: (name: Store) => IDBObjectStore) => void) => Promise<void>;

function cacheIn(transact: Transact, readAll: <T>(from: Store) => Promise<Record<string, T>>): StoreCache {
  /** The lists that were saved, so that only changes are written. */
  const saved = new WeakSet<object>();
  let timer: unknown;
  const save = ({ myId, entries, messages, readBy = {} }: Cached) =>
    transact("readwrite", (store) => {
      const kept = new Set(entries.slice(0, MAX_ENTRIES).map(({ conversationId }) => conversationId));
      const readers = Object.fromEntries(Object.entries(readBy).filter(([id]) => kept.has(id)));
      store("state").put({ myId, entries: entries.slice(0, MAX_ENTRIES), readBy: readers }, "inbox");
      const keys = store("messages").getAllKeys();
      keys.onsuccess = () => {
        for (const id of keys.result) if (!kept.has(id as string)) store("messages").delete(id);
      };
      for (const [id, list] of Object.entries(messages)) {
        if (saved.has(list) || !kept.has(id)) continue;
        saved.add(list);
        store("messages").put(list.filter(({ status }) => status === "sent").slice(-MAX_MESSAGES), id);
      }
    });

  return {
    async load(): Promise<Cached | undefined> {
      const [state, messages] = await Promise.all([readAll<Inbox>("state"), readAll<ChatMessage[]>("messages")]);
      return state.inbox && { ...state.inbox, messages };
    },
    changed(read): void {
      timer ??= setTimeout(() => {
        timer = undefined;
        save(read()).catch(() => {});
      }, CACHE_AFTER_MS);
    },
  };
}

interface Inbox {
  myId?: string | undefined;
  entries: InboxEntry[];
  readBy?: Cached["readBy"];
}

function openDatabase(factory: IDBFactory | undefined, name: string, lost: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    if (!factory) return reject(new Error("There is no IndexedDB"));
    const request = factory.open(name, VERSION);
    const timer = setTimeout(() => reject(new Error("IndexedDB does not open")), OPEN_WITHIN_MS);
    request.onupgradeneeded = () => {
      for (const store of STORES) if (!request.result.objectStoreNames.contains(store)) request.result.createObjectStore(store);
    };
    request.onerror = () => (clearTimeout(timer), reject(request.error ?? new Error("IndexedDB does not open")));
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      // Another tab wants to upgrade or delete: it must not wait for this one.
      database.onversionchange = () => (database.close(), lost());
      database.onclose = lost;
      resolve(database);
    };
  });
}
