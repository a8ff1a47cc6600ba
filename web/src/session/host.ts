// The page around the client, if it is embedded. The client says that it needs a token; only a page of an allowed
// origin is asked and listened to.
//
//   client → host  {type: "chat:token-needed", reason}
//   host → client  {type: "chat:token", token}
import type { About } from "./accounts";

const ASK_AGAIN_MS = 2_000;

export function isEmbedded(): boolean {
  return window.parent !== window;
}

/** Waits until the host page supplies a token. */
export function tokenFromHost(about: About, reason: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const ask = () => {
      for (const origin of about.embeddedBy) window.parent.postMessage({ type: "chat:token-needed", reason }, origin);
    };
    const hear = (event: MessageEvent) => {
      const data = event.data as { type?: unknown; token?: unknown } | null;
      if (event.source !== window.parent || !about.embeddedBy.includes(event.origin.toLowerCase())) return;
      if (data?.type !== "chat:token" || typeof data.token !== "string") return;
      finish();
      resolve(data.token);
    };
    const timer = setInterval(ask, ASK_AGAIN_MS);
    const finish = () => {
      clearInterval(timer);
      window.removeEventListener("message", hear);
    };
    signal?.addEventListener("abort", () => (finish(), reject(new Error("No longer needed"))));
    window.addEventListener("message", hear);
    ask();
  });
}
