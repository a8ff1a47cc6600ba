// The frame of the chat: a list beside a conversation, or one of them on a phone; what keys do everywhere.
import { useConnection, useInbox } from "@elitescore/chat/react";
import { lazy, Suspense, useEffect, useState } from "react";
import { Redirect, useLocation, useRoute } from "wouter";
import { useSignedIn } from "../chat/chat";
import { Conversation } from "../conversation/conversation";
import { useI18n } from "../i18n";
import { Inbox } from "../inbox/inbox";
import { Empty, Spinner } from "../ui/empty";
import { ConnectionBanner, Replaced } from "./connection";

const Palette = lazy(() => import("./palette"));
const NewChat = lazy(() => import("./new-chat"));
const NewGroup = lazy(() => import("./new-group"));
const Settings = lazy(() => import("./settings"));
const Communities = lazy(() => import("./communities"));

const TITLE_EVERY_MS = 300;

export function Shell() {
  const { t } = useI18n();
  const connection = useConnection();
  const [location] = useLocation();
  const [, open] = useRoute("/c/:id/:seq?");
  const [shown, setShown] = useState<string>();
  // The conversation stays beside settings and similar screens; only the bare list ends it.
  const wanted = open?.id ?? (location === "/" ? undefined : shown);
  if (wanted !== shown) setShown(wanted);
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  useShortcuts(open?.id, () => setPaletteOpen(true));
  useTitle();

  if (connection.name === "replaced") return <Replaced />;
  const seq = open?.seq && /^\d+$/.test(open.seq) ? Number(open.seq) : undefined;
  return (
    <main className={open ? "shell with-conversation" : "shell"}>
      <a className="skip" href="#stage">
        {t("skip")}
      </a>
      <section className="side">
        <ConnectionBanner />
        <Suspense fallback={<Spinner label={t("loading")} />}>
          <Side location={location} open={open?.id} />
        </Suspense>
      </section>
      <div id="stage" className="stage" tabIndex={-1}>
        {shown ? <Conversation key={shown} id={shown} seq={seq} /> : <Welcome />}
      </div>
      {isPaletteOpen && (
        <Suspense>
          <Palette onClose={() => setPaletteOpen(false)} />
        </Suspense>
      )}
    </main>
  );
}

function Side({ location, open }: { location: string; open: string | undefined }) {
  switch (location) {
    case "/new":
      return <NewChat />;
    case "/new/group":
      return <NewGroup />;
    case "/settings":
      return <Settings />;
    case "/communities":
      return <Communities />;
    case "/":
      return <Inbox open={open} />;
    default:
      return open ? <Inbox open={open} /> : <Redirect to="/" />;
  }
}

function Welcome() {
  const { t } = useI18n();
  const { status, entries } = useInbox();
  const isNew = entries.length === 0 && status === "ready";
  if (isNew) {
    return (
      <div className="welcome">
        <Empty icon="smile" title={t("newcomerTitle")} hint={t("newcomerHint")} />
      </div>
    );
  }
  return (
    <div className="welcome">
      <Empty icon="chat" title={t("welcomeTitle")} hint={t("welcomeHint")}>
        <p className="keys">
          <bdi dir="ltr">
            <kbd>Ctrl</kbd> <kbd>K</kbd>
          </bdi>{" "}
          {t("shortcutHint")}
        </p>
      </Empty>
    </div>
  );
}

/** Ctrl+K everywhere; Alt+arrows through the list; Esc back from a conversation to the list. */
function useShortcuts(open: string | undefined, openPalette: () => void): void {
  const { store } = useSignedIn();
  const [location, navigate] = useLocation();
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented) return;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
      } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        event.preventDefault();
        const { entries } = store.inbox.getSnapshot();
        const now = entries.findIndex(({ conversationId }) => conversationId === open);
        const step = event.key === "ArrowDown" ? 1 : -1;
        const next = entries[now === -1 ? 0 : Math.max(0, Math.min(entries.length - 1, now + step))];
        if (next) navigate(`/c/${next.conversationId}`);
      } else if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) {
        if (location !== "/") navigate("/");
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [store, open, openPalette, location, navigate]);
}

/**
 * The unread count, in the title and on the installed app's icon; both cost more than a message, so they do not follow
 * each of many.
 */
function useTitle(): void {
  const { t } = useI18n();
  const { store } = useSignedIn();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let shown = "";
    let shownAt = -Infinity;
    const show = () => {
      clearTimeout(timer);
      timer = undefined;
      const { totalUnread } = store.inbox.getSnapshot();
      const title = totalUnread > 0 ? `(${totalUnread > 999 ? "999+" : totalUnread}) ${t("appName")}` : t("appName");
      if (title === shown) return;
      if (shown !== "") shownAt = performance.now();
      document.title = shown = title;
      const badge = navigator as Partial<Pick<Navigator, "setAppBadge" | "clearAppBadge">>;
      void (totalUnread > 0 ? badge.setAppBadge?.(totalUnread) : badge.clearAppBadge?.())?.catch(() => {});
    };
    show();
    const leave = store.inbox.subscribe(() => {
      const wait = shownAt + TITLE_EVERY_MS - performance.now();
      if (wait <= 0) show();
      else timer ??= setTimeout(show, wait);
    });
    return () => {
      clearTimeout(timer);
      leave();
    };
  }, [store, t]);
}
