// IndexedDB behind the client: positions, seen events and the outbox, one database per user.
import type { Change, OutboxItem, Persistence, Position, Saved } from "./index";

export interface IndexedDbOptions {
  /** Tells users of one browser apart; use the user id. */
  name: string;
  /** The default is the browser's. */
  indexedDB?: IDBFactory | undefined;
}

const VERSION = 1;
const OPEN_WITHIN_MS = 5_000;
const STORES = ["positions", "outbox", "state"] as const;

/**
 * Keeps the client's state in IndexedDB. Where there is none (private mode, a full disk, another tab that blocks the upgrade) its
 * promises reject, and the client goes on in memory.
 */
export function indexedDb({ name, indexedDB = globalThis.indexedDB }: IndexedDbOptions): Persistence {
  let database: Promise<IDBDatabase> | undefined;
  const open = () =>
    (database ??= openDatabase(indexedDB, `chat-${name}`, () => (database = undefined)).catch((error: unknown) => {
      database = undefined;
      throw error;
    }));

  return {
    async load(): Promise<Saved> {
      const transaction = (await open()).transaction(STORES);
      const read = <T>(store: string, what: "getAll" | "getAllKeys") =>
        result<T[]>(transaction.objectStore(store)[what]() as IDBRequest<T[]>);
      const [ids, positions, outbox, seen] = await Promise.all([
        read<string>("positions", "getAllKeys"),
        read<Position>("positions", "getAll"),
        read<OutboxItem>("outbox", "getAll"),
        result<string[] | undefined>(transaction.objectStore("state").get("seen")),
      ]);
      const saved = Object.fromEntries(positions.map((position, place) => [ids[place], position]));
      return { positions: saved, seen: seen ?? [], outbox: outbox.sort((a, b) => a.queuedAt - b.queuedAt) };
    },

    async save(change: Change): Promise<void> {
      const transaction = (await open()).transaction(STORES, "readwrite");
      const [positions, outbox, state] = STORES.map((store) => transaction.objectStore(store)) as [
        IDBObjectStore,
        IDBObjectStore,
        IDBObjectStore,
      ];
      for (const [id, position] of Object.entries(change.positions ?? {})) positions.put(position, id);
      for (const id of change.gone ?? []) positions.delete(id);
      if (change.seen) state.put(change.seen, "seen");
      if (change.put) outbox.put(change.put, change.put.clientMessageId);
      if (change.remove) outbox.delete(change.remove);
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error("The write was aborted"));
      });
    },
  };
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

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB cannot be read"));
  });
}
