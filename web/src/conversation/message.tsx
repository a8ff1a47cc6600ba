// One message: who sent it, its content, its delivery state, and its actions.
import type { Reaction } from "@elitescore/chat";
import { useChat } from "@elitescore/chat/react";
import type { ChatMessage } from "@elitescore/chat/store";
import { type KeyboardEvent, memo, useRef, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { isGroup } from "../chat/ids";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { useAttempt } from "../ui/toasts";
import { Content, isEmojiOnly } from "./content";
import type { MessageRow } from "./rows";

interface Props {
  row: MessageRow;
  conversationId: string;
  position: number;
  total: number;
  isFocusable: boolean;
  isMarked: boolean;
  isDelivered: boolean;
  isRead: boolean;
  onFocus: (key: string) => void;
  onMenu: (message: ChatMessage, anchor: Element) => void;
  onReply: (message: ChatMessage) => void;
  onJump: (seq: number) => void;
}

const HOLD_MS = 450;

export const Message = memo(function Message(props: Props) {
  const { row, conversationId, position, total, isFocusable, isMarked, isDelivered, isRead, onFocus, onMenu, onReply, onJump } = props;
  const { message, startsDay, startsNew, continues, endsGroup } = row;
  const { t, day, time } = useI18n();
  const people = usePeople();
  const article = useRef<HTMLElement>(null);
  const holding = useRef<ReturnType<typeof setTimeout>>(undefined);
  const [isPointed, setPointed] = useState(false);
  const isSystems = message.kind === "system";
  const isMine = message.isOwn && !isSystems;
  const name = people.person(message.senderId)?.displayName || message.senderUsername;
  const inGroup = isGroup(conversationId);
  const more = () => article.current?.querySelector(".more") ?? article.current;

  function press(event: KeyboardEvent) {
    if (event.target !== article.current || message.status !== "sent") return;
    const anchor = more();
    if (anchor && ["Enter", " ", "ContextMenu"].includes(event.key)) {
      event.preventDefault();
      onMenu(message, anchor);
    } else if (event.key.toLowerCase() === "r" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      onReply(message);
    }
  }

  const classes = ["message", isMine ? "mine" : "theirs"];
  if (continues) classes.push("continues");
  if (endsGroup) classes.push("ends");
  if (isMarked) classes.push("marked");
  if (message.kind === "announcement") classes.push("announcement");
  if (isSystems) classes.push("system");
  if (isEmojiOnly(message.content) && !message.replyTo) classes.push("emoji-only");
  return (
    <div className="message-row">
      {startsDay && (
        <div className="day">
          <span>{day(message.createdAt)}</span>
        </div>
      )}
      {startsNew && (
        <div className="new-line">
          <span>{t("newMessages")}</span>
        </div>
      )}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- a message of the log takes the focus, and keys open its menu */}
      <article
        ref={article}
        className={classes.join(" ")}
        data-key={message.key}
        data-seq={message.seq}
        aria-posinset={position}
        aria-setsize={total}
        aria-label={isSystems ? time(message.createdAt) : `${isMine ? t("you") : name}, ${time(message.createdAt)}`}
        tabIndex={isFocusable ? 0 : -1}
        onFocus={() => onFocus(message.key)}
        onPointerEnter={() => setPointed(true)}
        onPointerLeave={() => setPointed(false)}
        onKeyDown={press}
        onContextMenu={(event) => {
          if (message.status !== "sent" || getSelection()?.toString()) return;
          event.preventDefault();
          const anchor = more();
          if (anchor) onMenu(message, anchor);
        }}
        onTouchStart={() => {
          holding.current = setTimeout(() => {
            const anchor = more();
            if (anchor && message.status === "sent") onMenu(message, anchor);
          }, HOLD_MS);
        }}
        onTouchEnd={() => clearTimeout(holding.current)}
        onTouchMove={() => clearTimeout(holding.current)}
      >
        {inGroup && !isMine && !isSystems && (endsGroup ? <Avatar id={message.senderId} name={name} size="small" /> : <span className="no-avatar" />)}
        <Bubble {...{ row, isMine, isDelivered, isRead, isPointed, onJump }} sender={inGroup && !isMine && !isSystems && !continues ? name : undefined} />
        {/* Thousands of rows go by before one of them is acted on. */}
        {message.status === "sent" && (isPointed || isFocusable) && (
          <span className="message-tools">
            <button type="button" tabIndex={-1} className="icon-button" aria-label={t("reply")} onClick={() => onReply(message)}>
              <Icon name="reply" size={18} />
            </button>
            <button
              type="button"
              tabIndex={isFocusable ? 0 : -1}
              className="icon-button more"
              aria-haspopup="menu"
              aria-label={t("messageActions", { name: isMine ? t("you") : name })}
              onClick={(event) => onMenu(message, event.currentTarget)}
            >
              <Icon name="more" size={18} />
            </button>
          </span>
        )}
        <Reactions message={message} />
        {message.status === "failed" && <Failed message={message} />}
      </article>
    </div>
  );
});

interface BubbleProps extends Pick<Props, "row" | "isDelivered" | "isRead" | "onJump"> {
  isMine: boolean;
  isPointed: boolean;
  /** Shown above what others wrote in a group. */
  sender: string | undefined;
}

/** The part that does not change when other messages arrive. */
const Bubble = memo(function Bubble({ row: { message }, isMine, isPointed, isDelivered, isRead, sender, onJump }: BubbleProps) {
  const { t, time, dateTime } = useI18n();
  const { userId } = useSignedIn();
  return (
    <div className="bubble">
      {message.kind === "announcement" && (
        <span className="announced">
          <Icon name="megaphone" size={16} />
          {t("announcement")}
        </span>
      )}
      {sender !== undefined && (
        <span className="sender" dir="auto">
          {sender}
        </span>
      )}
      <Quote message={message} onJump={onJump} />
      <span className="content" dir="auto">
        <Content text={message.content} mentions={message.mentions} me={userId} />
      </span>
      <span className="meta">
        {message.isPinned && (
          <span title={t("pinned")}>
            <Icon name="pin" size={13} />
            <span className="visually-hidden">{t("pinned")}</span>
          </span>
        )}
        {message.isEdited && <span>{t("edited")}</span>}
        <time dateTime={message.createdAt} title={isPointed ? dateTime(message.createdAt) : undefined}>
          {time(message.createdAt)}
        </time>
        {isMine && <Status message={message} isDelivered={isDelivered} isRead={isRead} />}
      </span>
    </div>
  );
});

function Quote({ message, onJump }: { message: ChatMessage; onJump: (seq: number) => void }) {
  const { t } = useI18n();
  const store = useChat();
  const people = usePeople();
  if (!message.replyToMessageId) return null;
  const original = message.replyTo as (typeof message.replyTo & { seq?: number }) | undefined;
  if (!original) return <span className="quote gone">{t("originalGone")}</span>;
  const messageId = message.replyToMessageId;
  const name = people.nameFor(original.senderUsername);
  const jump = () => {
    if (original.seq !== undefined) return onJump(original.seq);
    const seqOf = () => store.messages(message.conversationId).getSnapshot().messages.find((m) => m.messageId === messageId)?.seq;
    const seq = seqOf();
    if (seq !== undefined) return onJump(seq);
    store.loadAround(message.conversationId, { messageId }).then(
      () => onJump(seqOf() ?? message.seq),
      () => {},
    );
  };
  return (
    <button type="button" tabIndex={-1} className="quote" title={t("jumpToOriginal", { name })} onClick={jump}>
      <strong dir="auto">{name}</strong>
      <span dir="auto">{original.content}</span>
    </button>
  );
}

function Status({ message, isDelivered, isRead }: { message: ChatMessage; isDelivered: boolean; isRead: boolean }) {
  const { t } = useI18n();
  const [icon, text, state] =
    message.status === "sending"
      ? (["clock", t("statusSending"), "sending"] as const)
      : message.status === "failed"
        ? (["alert", t("statusFailed"), "failed"] as const)
        : isRead
          ? (["checks", t("statusRead"), "read"] as const)
          : isDelivered
            ? (["checks", t("statusDelivered"), "delivered"] as const)
            : (["check", t("statusSent"), "sent"] as const);
  return (
    <span className={`status ${state}`} data-status={state} title={text}>
      <Icon name={icon} size={15} />
      <span className="visually-hidden">{text}</span>
    </span>
  );
}

function Failed({ message }: { message: ChatMessage }) {
  const { t } = useI18n();
  const store = useChat();
  const id = message.clientMessageId ?? message.messageId;
  const reason = message.failure?.code === "USER_BLOCKED" ? t("errorBlocked") : message.failure?.message;
  return (
    <p className="failed" role="alert">
      <span>
        {t("statusFailed")}
        {reason && `: ${reason}`}
      </span>
      <button type="button" className="button small" onClick={() => store.retry(id)}>
        {t("retry")}
      </button>
      <button type="button" className="button small quiet" onClick={() => store.discard(id)}>
        {t("discard")}
      </button>
    </p>
  );
}

function Reactions({ message }: { message: ChatMessage }) {
  return message.reactions?.length ? <SomeReactions message={message} reactions={message.reactions} /> : null;
}

const SomeReactions = memo(function SomeReactions({ message, reactions }: { message: ChatMessage; reactions: Reaction[] }) {
  const { t, list } = useI18n();
  const { userId } = useSignedIn();
  const store = useChat();
  const attempt = useAttempt();
  const people = usePeople();
  const byEmoji = new Map<string, { users: string[]; isMine: boolean }>();
  for (const reaction of reactions) {
    const group = byEmoji.get(reaction.reaction) ?? { users: [], isMine: false };
    group.users.push(reaction.userId === userId ? t("you") : people.person(reaction.userId)?.displayName || reaction.username);
    group.isMine ||= reaction.userId === userId;
    byEmoji.set(reaction.reaction, group);
  }
  return (
    <div className="reactions">
      {[...byEmoji].map(([emoji, { users, isMine }]) => (
        <button
          key={emoji}
          type="button"
          tabIndex={-1}
          className={isMine ? "mine" : ""}
          aria-pressed={isMine}
          title={list(users)}
          onClick={() => void attempt(store.react(message, emoji))}
        >
          {emoji}
          {users.length > 1 && <span>{users.length}</span>}
          <span className="visually-hidden">{t("reactedBy", { names: list(users), emoji })}</span>
        </button>
      ))}
    </div>
  );
});
