// Who is signed in on this device. One session per page; React reads it with `useSession`.
import { useSyncExternalStore } from "react";
import { type About, loadAbout, revoke, userOf } from "./accounts";
import { isEmbedded, tokenFromHost } from "./host";
import { forget, storage } from "./storage";

export type Ended = "revoked" | "expired";

export type Session =
  | { name: "loading" }
  | { name: "unreachable" }
  | { name: "signedOut"; about: About; ended?: Ended | undefined }
  | { name: "signedIn"; about: About; userId: string; token: string };

const TOKEN = "token";
const TRY_AGAIN_MS = 3_000;

let session: Session = { name: "loading" };
const listeners = new Set<() => void>();

function set(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => session,
  );
}

/** Asks what the server offers; without a connection, a signed-in device starts anyway. */
export async function begin(): Promise<void> {
  const [token, kept] = await Promise.all([storage.get<string>(TOKEN), storage.get<About>("about")]);
  const userId = token && userOf(token);
  let about: About;
  try {
    about = await loadAbout();
    void storage.set("about", about);
  } catch {
    if (kept && token && userId) return set({ name: "signedIn", about: kept, userId, token });
    set({ name: "unreachable" });
    setTimeout(() => void begin(), TRY_AGAIN_MS);
    return;
  }
  if (isEmbedded() && about.embeddedBy.length > 0) {
    set({ name: "signedOut", about });
    return enter(await tokenFromHost(about, "initial"), about);
  }
  if (token && userId) set({ name: "signedIn", about, userId, token });
  else set({ name: "signedOut", about });
}

export function enter(token: string, about: About): void {
  const userId = userOf(token);
  if (!userId) return;
  if (!isEmbedded()) void storage.set(TOKEN, token);
  set({ name: "signedIn", about, userId, token });
}

/** A token for the connection; a new one comes only from a host page. */
export async function currentToken(reason: string): Promise<string> {
  if (session.name !== "signedIn") throw new Error("Nobody is signed in");
  if (reason === "initial" || !isEmbedded()) return session.token;
  return await tokenFromHost(session.about, reason);
}

/** The server no longer accepts the token. What is on the device stays, for the next time. */
export function expel(ended: Ended): void {
  if (session.name !== "signedIn") return;
  void storage.remove(TOKEN);
  set({ name: "signedOut", about: session.about, ended });
}

export async function leave(): Promise<void> {
  if (session.name !== "signedIn") return;
  const { about, token, userId } = session;
  await storage.remove(TOKEN);
  await revoke(token);
  set({ name: "signedOut", about });
  forget(userId);
}
