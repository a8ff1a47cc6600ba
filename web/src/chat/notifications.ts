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
  // Missed messages arrive in heaps; the badge tells of those.
  if (Date.now() - Date.parse(message.createdAt) > 60_000) return;
  const entry = store.inbox.getSnapshot().entries.find((entry) => entry.conversationId === message.conversationId);
  if (isMuted(entry?.mutedUntil)) return;
  const title = entry?.name ? `${message.senderUsername} · ${entry.name}` : (entry?.participant?.displayName ?? message.senderUsername);
  const notification = new Notification(title, { body: message.content.slice(0, 200), tag: message.conversationId, icon: "/icon-192.png" });
  notification.onclick = () => {
    window.focus();
    history.pushState(null, "", `/c/${message.conversationId}`);
    notification.close();
  };
}

/** Asks the browser; false when it says no. */
export async function allowNotifications(): Promise<boolean> {
  return "Notification" in globalThis && (await Notification.requestPermission()) === "granted";
}
