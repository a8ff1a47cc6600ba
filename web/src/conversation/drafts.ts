// What was written and not sent, per conversation, kept on this device.
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const key = (userId: string, conversationId: string) => `draft:${userId}:${conversationId}`;

export function readDraft(userId: string, conversationId: string): string {
  return localStorage.getItem(key(userId, conversationId)) ?? "";
}

export function saveDraft(userId: string, conversationId: string, text: string): void {
  try {
    if (text.trim()) localStorage.setItem(key(userId, conversationId), text);
    else localStorage.removeItem(key(userId, conversationId));
  } catch {
    // The disk is full: the draft lives as long as the page.
  }
}

/** Notifies the list; not called on every keystroke, which would render it again each time. */
export function draftsChanged(): void {
  for (const listener of listeners) listener();
}

/** For the list: the draft as of the last time that the conversation was left. */
export function useDraft(userId: string, conversationId: string): string {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => readDraft(userId, conversationId),
  );
}
