// One conversation in the list: its name, its last message, and what is unread.
import { useOnline, useTyping } from "@elitescore/chat/react";
import type { InboxEntry } from "@elitescore/chat/store";
import { memo } from "react";
import { Link } from "wouter";
import { useSignedIn } from "../chat/chat";
import { isGroup } from "../chat/ids";
import { nameOf } from "../chat/names";
import { isMuted } from "../chat/notifications";
import { usePeople } from "../chat/people";
import { useDraft } from "../conversation/drafts";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";

export const Row = memo(function Row({ entry, isOpen }: { entry: InboxEntry; isOpen: boolean }) {
  const { t, short } = useI18n();
  const { userId } = useSignedIn();
  const people = usePeople();
  const online = useOnline();
  const { conversationId, participant, unreadCount, unreadMentions } = entry;
  const name = nameOf(conversationId, entry, people, userId);
  const muted = isMuted(entry.mutedUntil);
  const hasUnread = unreadCount > 0 || entry.markedUnread;
  return (
    <li>
      <Link
        href={`/c/${conversationId}`}
        className={`row${isOpen ? " open" : ""}${hasUnread ? " unread" : ""}`}
        aria-current={isOpen ? "page" : undefined}
      >
        <Avatar
          id={participant?.userId ?? conversationId}
          name={name}
          isGroup={isGroup(conversationId)}
          isOnline={participant !== undefined && online.has(participant.userId)}
        />
        <span className="row-lines">
          <span className="row-line">
            <span className="row-name" dir="auto">
              {name}
            </span>
            <time className="row-time" dateTime={entry.lastActivityAt}>
              {short(entry.lastActivityAt)}
            </time>
          </span>
          <span className="row-line">
            <span className="row-last" dir="auto">
              <Last entry={entry} />
            </span>
            <span className="row-marks">
              {entry.pinned && <Mark name="pin" label={t("pinned")} />}
              {muted && <Mark name="mute" label={t("muted")} />}
              {unreadMentions > 0 && (
                <span className="badge mention">
                  <span aria-hidden="true">@</span>
                  <span className="visually-hidden">{t("mentionsYou")}</span>
                </span>
              )}
              {hasUnread && (
                <span className={muted ? "badge muted" : "badge"}>
                  <span aria-hidden="true">{unreadCount > 0 ? (unreadCount > 999 ? "999+" : unreadCount) : ""}</span>
                  <span className="visually-hidden">
                    {unreadCount > 0 ? t("unread", { count: unreadCount }) : t("markedUnread")}
                  </span>
                </span>
              )}
            </span>
          </span>
        </span>
      </Link>
    </li>
  );
});

function Mark({ name, label }: { name: "pin" | "mute"; label: string }) {
  return (
    <span className="row-mark" title={label}>
      <Icon name={name} size={15} />
      <span className="visually-hidden">{label}</span>
    </span>
  );
}

function Last({ entry }: { entry: InboxEntry }) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const people = usePeople();
  const typists = useTyping(entry.conversationId);
  const draft = useDraft(userId, entry.conversationId);
  if (typists.length > 0) return <span className="is-typing">{t("typing")}</span>;
  if (draft) {
    return (
      <>
        <span className="is-draft">{t("draft")}</span> {draft}
      </>
    );
  }
  const last = entry.lastMessage;
  if (!last) return t("noMessages");
  const sender = last.senderId === userId ? t("you") : people.person(last.senderId)?.displayName ?? last.senderUsername;
  const isNamed = last.kind !== "system" && (last.senderId === userId || entry.kind !== "direct");
  return (
    <>
      {isNamed && sender ? `${sender}: ` : ""}
      {last.content}
    </>
  );
}
