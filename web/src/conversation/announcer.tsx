// Reads new messages of the open conversation to screen readers, a few at a time. The list itself cannot: its rows are recycled.
import type { ChatMessage } from "@elitescore/chat/store";
import { useEffect, useRef, useState } from "react";
import { useSignedIn } from "../chat/chat";

const AFTER_MS = 700;
const AT_MOST = 3;

export function Announcer({ messages }: { messages: readonly ChatMessage[] }) {
  const { userId } = useSignedIn();
  const [text, setText] = useState("");
  const heard = useRef<number>(undefined);
  const newest = messages.findLast((message) => message.status === "sent")?.seq ?? 0;
  useEffect(() => {
    if (heard.current === undefined || newest < heard.current) {
      heard.current = newest;
      return;
    }
    const timer = setTimeout(() => {
      const from = heard.current ?? newest;
      heard.current = newest;
      const fresh = messages.filter(({ seq, senderId }) => seq > from && seq <= newest && senderId !== userId);
      if (fresh.length > 0) setText(fresh.slice(-AT_MOST).map((message) => `${message.senderUsername}: ${message.content}`).join("\n"));
    }, AFTER_MS);
    return () => clearTimeout(timer);
  }, [messages, newest, userId]);
  return (
    <div className="visually-hidden" aria-live="polite">
      {text}
    </div>
  );
}
