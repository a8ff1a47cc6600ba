// The list of conversations: pinned first, then by activity, filtered by a word.
import { useInbox } from "@elitescore/chat/react";
import { useChat } from "@elitescore/chat/react";
import { type KeyboardEvent, useRef, useState } from "react";
import { Link } from "wouter";
import { useSignedIn } from "../chat/chat";
import { nameOf } from "../chat/names";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Empty, Skeleton } from "../ui/empty";
import { Icon } from "../ui/icon";
import { Row } from "./row";

export function Inbox({ open }: { open: string | undefined }) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const store = useChat();
  const people = usePeople();
  const inbox = useInbox();
  const [filter, setFilter] = useState("");
  const list = useRef<HTMLUListElement>(null);

  const wanted = filter.trim().toLocaleLowerCase();
  const entries = inbox.entries.filter((entry) => {
    return nameOf(entry.conversationId, entry, people, userId).toLocaleLowerCase().includes(wanted);
  });

  function move(event: KeyboardEvent) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey) return;
    const links = [...(list.current?.querySelectorAll<HTMLElement>("a") ?? [])];
    const now = links.indexOf(document.activeElement as HTMLElement);
    event.preventDefault();
    links[Math.max(0, Math.min(links.length - 1, now + step))]?.focus();
  }

  return (
    <>
      <header className="side-head">
        <h1>{t("chats")}</h1>
        <Link href="/communities" className="icon-button" aria-label={t("communities")} title={t("communities")}>
          <Icon name="community" />
        </Link>
        <Link href="/settings" className="icon-button" aria-label={t("settings")} title={t("settings")}>
          <Icon name="settings" />
        </Link>
        <Link href="/new" className="icon-button accent" aria-label={t("newChat")} title={t("newChat")}>
          <Icon name="compose" />
        </Link>
      </header>
      <label className="search">
        <Icon name="search" size={18} />
        <input
          type="search"
          dir="auto"
          placeholder={t("filterChats")}
          aria-label={t("filterChats")}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
          onKeyDown={move}
        />
      </label>
      <nav className="inbox" aria-label={t("chats")}>
        {inbox.status === "loading" && inbox.entries.length === 0 && <Skeleton rows={6} label={t("loading")} />}
        {inbox.status === "failed" && inbox.entries.length === 0 && (
          <Empty icon="alert" title={t("inboxFailed")}>
            <button type="button" className="button" onClick={() => void store.refresh()}>
              {t("retry")}
            </button>
          </Empty>
        )}
        {inbox.status === "ready" && inbox.entries.length === 0 && (
          <Empty icon="chat" title={t("noChats")} hint={t("noChatsHint")}>
            <Link href="/new" className="button">
              {t("startChat")}
            </Link>
          </Empty>
        )}
        {inbox.entries.length > 0 && entries.length === 0 && (
          <p className="nothing">{t("noMatches", { query: filter.trim() })}</p>
        )}
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- arrows move between the links inside */}
        <ul ref={list} onKeyDown={move}>
          {entries.map((entry) => (
            <Row key={entry.conversationId} entry={entry} isOpen={entry.conversationId === open} />
          ))}
        </ul>
        {inbox.hasMore && (
          <button type="button" className="button quiet wide" onClick={() => void store.loadMoreConversations()}>
            {t("more")}
          </button>
        )}
      </nav>
    </>
  );
}
