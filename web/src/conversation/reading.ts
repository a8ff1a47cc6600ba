// Marks what is on the screen as read, but only while the page is visible and the list is at its end.
import { useChat, useMessages } from "@elitescore/chat/react";
import { useEffect, useSyncExternalStore } from "react";

function watchAttention(listener: () => void): () => void {
  window.addEventListener("focus", listener);
  window.addEventListener("blur", listener);
  document.addEventListener("visibilitychange", listener);
  return () => {
    window.removeEventListener("focus", listener);
    window.removeEventListener("blur", listener);
    document.removeEventListener("visibilitychange", listener);
  };
}

export function useAttention(): boolean {
  return useSyncExternalStore(watchAttention, () => !document.hidden && document.hasFocus());
}

const atEnd = new Set<string>();
const listeners = new Set<() => void>();

/** The list reports whether its last message is visible. */
export function setAtEnd(conversationId: string, isAtEnd: boolean): void {
  if (atEnd.has(conversationId) === isAtEnd) return;
  if (isAtEnd) atEnd.add(conversationId);
  else atEnd.delete(conversationId);
  for (const listener of listeners) listener();
}

export function useMarkRead(conversationId: string): void {
  const store = useChat();
  const isAttentive = useAttention();
  const isAtEnd = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => atEnd.has(conversationId),
  );
  const { messages, hasAfter, status } = useMessages(conversationId);
  const newest = messages.findLast((message) => message.status === "sent")?.seq;
  useEffect(() => {
    if (isAttentive && isAtEnd && !hasAfter && status === "ready" && newest !== undefined) store.markRead(conversationId);
  }, [store, conversationId, isAttentive, isAtEnd, hasAfter, status, newest]);
}
