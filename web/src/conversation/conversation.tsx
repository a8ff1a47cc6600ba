// One conversation: its head, its messages, where one writes, and the panels beside it.
import { useChat, useConnection, useInbox, useMessages, useOnline, useTyping } from "@elitescore/chat/react";
import type { ChatMessage, InboxEntry } from "@elitescore/chat/store";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { useSignedIn } from "../chat/chat";
import { isGroup, peerOf } from "../chat/ids";
import { nameOf } from "../chat/names";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { useInterruption } from "../screens/connection";
import { Avatar } from "../ui/avatar";
import { Empty, Spinner } from "../ui/empty";
import { Icon } from "../ui/icon";
import { Announcer } from "./announcer";
import { Composer } from "./composer";
import { MessageList } from "./list";
import { useMarkRead } from "./reading";

const Details = lazy(() => import("../details/details"));
const Pins = lazy(() => import("../details/pins"));

export type Panel = "details" | "pins";

export function Conversation({ id, seq }: { id: string; seq: number | undefined }) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const store = useChat();
  const people = usePeople();
  const entry = useEntry(id);
  const list = useMessages(id);
  const [, navigate] = useLocation();
  const [panel, setPanel] = useState<Panel>();
  const [replyTo, setReplyTo] = useState<ChatMessage>();
  const [editing, setEditing] = useState<ChatMessage>();
  const newFrom = useFirstUnread(entry);
  useMarkRead(id);

  useEffect(() => {
    people.load(id);
  }, [people, id]);

  const name = nameOf(id, entry, people, userId);
  // Via the bare address, so that a second jump to the same place also works.
  const jump = useCallback(
    (target: number) => {
      navigate(`/c/${id}`, { replace: true });
      setTimeout(() => navigate(`/c/${id}/${target}`));
    },
    [navigate, id],
  );
  const reply = useCallback((message: ChatMessage) => (setEditing(undefined), setReplyTo(message)), []);
  const edit = useCallback((message: ChatMessage) => (setReplyTo(undefined), setEditing(message)), []);
  const done = useCallback(() => (setReplyTo(undefined), setEditing(undefined)), []);
  const editLast = useCallback(() => {
    const { messages } = store.messages(id).getSnapshot();
    const lastOwn = messages.findLast((message) => message.senderId === userId && message.status === "sent");
    if (lastOwn) setEditing(lastOwn);
  }, [store, id, userId]);
  if (list.status === "gone" || (people.isGone(id) && list.messages.length === 0)) return <Gone />;
  return (
    <>
      <section className="conversation" aria-label={name}>
        <Head id={id} name={name} entry={entry} panel={panel} setPanel={setPanel} />
        {list.status === "failed" && list.messages.length === 0 ? (
          <Empty icon="alert" title={t("messagesFailed")}>
            <button type="button" className="button" onClick={() => void store.loadLatest(id)}>
              {t("retry")}
            </button>
          </Empty>
        ) : list.status === "loading" && list.messages.length === 0 ? (
          <Spinner label={t("loading")} />
        ) : list.messages.length === 0 ? (
          <Empty icon="chat" title={t("noMessages")} hint={t("noMessagesHint")} />
        ) : (
          <MessageList
            id={id}
            list={list}
            newFrom={newFrom}
            target={seq}
            onReply={reply}
            onEdit={edit}
            onJump={jump}
          />
        )}
        <Announcer messages={list.messages} />
        <Composer id={id} name={name} replyTo={replyTo} editing={editing} onDone={done} onEditLast={editLast} />
      </section>
      {panel && (
        <Suspense fallback={<Spinner label={t("loading")} />}>
          {panel === "details" ? (
            <Details id={id} entry={entry} name={name} onClose={() => setPanel(undefined)} onPins={() => setPanel("pins")} />
          ) : (
            <Pins id={id} onClose={() => setPanel(undefined)} onJump={jump} />
          )}
        </Suspense>
      )}
    </>
  );
}

export function useEntry(id: string): InboxEntry | undefined {
  return useInbox().entries.find(({ conversationId }) => conversationId === id);
}

/** Where the unread messages began when the conversation was opened. */
function useFirstUnread(entry: InboxEntry | undefined): number | undefined {
  const [first, setFirst] = useState<number | false>();
  if (first === undefined && entry) setFirst(entry.unreadCount > 0 && entry.readSeq < entry.lastSeq && entry.readSeq + 1);
  return first === false ? undefined : first;
}

interface HeadProps {
  id: string;
  name: string;
  entry: InboxEntry | undefined;
  panel: Panel | undefined;
  setPanel: (panel: Panel | undefined) => void;
}

function Head({ id, name, entry, panel, setPanel }: HeadProps) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const peer = peerOf(id, userId);
  const people = usePeople();
  useOnline();
  const isOnline = peer !== undefined && people.isOnline(peer);
  const toggle = (which: Panel) => setPanel(panel === which ? undefined : which);
  return (
    <header className="conversation-head">
      <Link href="/" className="icon-button back" aria-label={t("back")}>
        <Icon name="back" />
      </Link>
      <button type="button" className="conversation-name" onClick={() => toggle("details")} aria-expanded={panel === "details"}>
        <Avatar id={peer ?? id} name={name} isGroup={isGroup(id)} isOnline={isOnline} />
        <span>
          <h1 dir="auto">{name}</h1>
          <Subtitle id={id} entry={entry} isOnline={isOnline} />
        </span>
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label={t("pins")}
        title={t("pins")}
        aria-pressed={panel === "pins"}
        onClick={() => toggle("pins")}
      >
        <Icon name="pin" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label={t("details")}
        title={t("details")}
        aria-pressed={panel === "details"}
        onClick={() => toggle("details")}
      >
        <Icon name="info" />
      </button>
    </header>
  );
}

function Subtitle({ id, entry, isOnline }: { id: string; entry: InboxEntry | undefined; isOnline: boolean }) {
  const { t } = useI18n();
  const people = usePeople();
  const typists = useTyping(id);
  const isConnected = useConnection().name === "online";
  const interruption = useInterruption();
  const nameOf = (index: number) => {
    const typist = typists[index];
    return (typist && (people.person(typist.userId)?.displayName || typist.username)) ?? "";
  };
  // A phone shows no other sign of it beside a conversation.
  if (interruption) return <span className="subtitle">{t(interruption === "syncing" ? "syncing" : "reconnecting")}</span>;
  if (typists.length > 0) {
    const text =
      typists.length > 2
        ? t("typingMany")
        : typists.length === 2
          ? t("typingTwo", { name: nameOf(0), other: nameOf(1) })
          : isGroup(id)
            ? t("typingOne", { name: nameOf(0) })
            : t("typing");
    return <span className="subtitle is-typing">{text}</span>;
  }
  // Without a connection, or a conversation with them, nobody is known to be away.
  if (!isGroup(id) && !isOnline && !(entry && isConnected)) return null;
  if (!isGroup(id)) return <span className={isOnline ? "subtitle is-online" : "subtitle"}>{t(isOnline ? "online" : "offline")}</span>;
  const group = people.group(id);
  if (group) return <span className="subtitle">{t("members", { count: group.members.length })}</span>;
  return <span className="subtitle">{entry?.kind === "community" ? t("communities") : ""}</span>;
}

function Gone() {
  const { t } = useI18n();
  return (
    <Empty isAlone icon="trash" title={t("goneTitle")} hint={t("goneHint")}>
      <Link href="/" className="button">
        {t("toChats")}
      </Link>
    </Empty>
  );
}
