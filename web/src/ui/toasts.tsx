// Short news at the edge of the screen, read out by screen readers: what failed, or what was done without visible
// effect.
import { useSyncExternalStore } from "react";
import { ChatError } from "@elitescore/chat";
import { type Translate, useI18n } from "../i18n";

interface Toast {
  id: number;
  text: string;
}

const SHOWN_MS = 5_000;
let toasts: readonly Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

export function toast(text: string): void {
  const id = ++last;
  set([...toasts.slice(-2), { id, text }]);
  setTimeout(() => set(toasts.filter((toast) => toast.id !== id)), SHOWN_MS);
}

/** Why the server rejected a command, in words for people. */
export function explain(error: unknown, t: Translate): string {
  if (!(error instanceof ChatError)) return t("errorGeneric");
  switch (error.code) {
    case "USER_BLOCKED":
      return t("errorBlocked");
    case "RATE_LIMIT_EXCEEDED":
    case "SLOW_MODE":
      return t("errorRate");
    case "PERMISSION_DENIED":
    case "MEMBER_MUTED":
    case "MEMBER_BANNED":
      return t("errorPermission");
    case "RESOURCE_NOT_FOUND":
      return t("errorNotFound");
    case "EDIT_WINDOW_EXPIRED":
      return t("errorEditWindow");
    case "GROUP_FULL":
    case "TOO_MANY_MEMBERS":
      return t("errorGroupFull");
    case "VALIDATION_ERROR":
    case "MESSAGE_REJECTED":
      return error.message;
    case "TIMEOUT":
    case "CONNECTION_LOST":
    case "CLOSED":
      return t("errorConnection");
    default:
      return t("errorGeneric");
  }
}

/** Runs an action and reports a failure; resolves to true if it succeeded. */
export function useAttempt(): (action: Promise<unknown>) => Promise<boolean> {
  const { t } = useI18n();
  return (action) =>
    action.then(
      () => true,
      (error: unknown) => {
        toast(explain(error, t));
        return false;
      },
    );
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status">
      {shown.map(({ id, text }) => (
        <p key={id}>{text}</p>
      ))}
    </div>
  );
}
