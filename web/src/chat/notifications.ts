// Notifications of the browser, for messages that arrive while nobody looks.
import type { Message } from "@elitescore/chat";
import { wantsNotifications } from "../session/preferences";
import type { Chat } from "./chat";

export function isMuted(mutedUntil: string | null | undefined): boolean {
  return mutedUntil != null && Date.parse(mutedUntil) > Date.now();
}

export function notifyOf(message: Message, { store, userId }: Chat): void {
  if (!document.hidden || message.senderId === userId || !wantsNotifications()) return;
  if (!("Notification" in globalThis) || Notification.permission !== "granted") return;
  // Missed messages arrive in bulk; the badge shows those.
  if (Date.now() - Date.parse(message.createdAt) > 60_000) return;
  const entry = store.inbox.getSnapshot().entries.find((entry) => entry.conversationId === message.conversationId);
  if (isMuted(entry?.mutedUntil)) return;
  const title = entry?.name ? `${message.senderUsername} · ${entry.name}` : (entry?.participant?.displayName ?? message.senderUsername);
  show(title, message);
}

function show(title: string, { content, conversationId }: Message): void {
  const options = { body: content.slice(0, 200), tag: conversationId, icon: "/icon-192.png", data: `/c/${conversationId}` };
  let notification: Notification;
  try {
    notification = new Notification(title, options);
  } catch {
    // On Android only the service worker may show a notification; it also handles clicks.
    void navigator.serviceWorker.ready.then((worker) => worker.showNotification(title, options));
    return;
  }
  notification.onclick = () => {
    window.focus();
    history.pushState(null, "", options.data);
    notification.close();
  };
}

/** Asks the browser; false if it says no. */
export async function allowNotifications(): Promise<boolean> {
  return "Notification" in globalThis && (await Notification.requestPermission()) === "granted";
}
