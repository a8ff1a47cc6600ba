// A few values in IndexedDB: the token must not be readable from a cookie or an address.
const NAME = "chat-web";
const STORE = "values";

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB does not open"));
  });
}

async function run<T>(mode: IDBTransactionMode, action: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  try {
    const database = await open();
    return await new Promise((resolve, reject) => {
      const request = action(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error ?? new Error("IndexedDB fails"));
    }).finally(() => database.close()) as T;
  } catch {
    // Private mode, or a full disk: the value lives as long as the page.
    return undefined;
  }
}

export const storage = {
  get: <T>(key: string) => run<T>("readonly", (store) => store.get(key) as IDBRequest<T>),
  set: (key: string, value: unknown) => run("readwrite", (store) => store.put(value, key)),
  remove: (key: string) => run("readwrite", (store) => store.delete(key)),
};

/** Deletes everything that was stored for a user on this device. */
export function forget(userId: string): void {
  indexedDB.deleteDatabase(`chat-${userId}`);
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(`draft:${userId}:`)) localStorage.removeItem(key);
  }
}
