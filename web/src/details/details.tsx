// What there is to know and to set about a conversation: its settings for oneself, and in groups the members and their roles.
import { useChat, useOnline } from "@elitescore/chat/react";
import type { InboxEntry } from "@elitescore/chat/store";
import { type FormEvent, useEffect, useState } from "react";
import { useLocation } from "wouter";
import { useSignedIn } from "../chat/chat";
import { isGroup, peerOf } from "../chat/ids";
import { isMuted } from "../chat/notifications";
import { type Member, usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Confirm, Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { Icon } from "../ui/icon";
import { type Action, Menu } from "../ui/menu";
import { useAttempt } from "../ui/toasts";
import { PersonSearch } from "../screens/person-search";
import { Panel } from "./panel";

interface Props {
  id: string;
  entry: InboxEntry | undefined;
  name: string;
  onClose: () => void;
  onPins: () => void;
}

export default function Details({ id, entry, name, onClose, onPins }: Props) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const people = usePeople();
  const group = people.group(id);
  const peer = people.person(peerOf(id, userId) ?? "");
  return (
    <Panel title={t("details")} onClose={onClose}>
      <div className="details-head">
        <Avatar id={peer?.userId ?? id} name={name} size="large" isGroup={isGroup(id)} />
        <h3 dir="auto">{name}</h3>
        {peer && (
          <p className="hint">
            <bdi dir="ltr">@{peer.username}</bdi>
          </p>
        )}
        {isGroup(id) && <p dir="auto">{group?.groupDescription || <span className="hint">{t("noDescription")}</span>}</p>}
      </div>
      <OwnSettings id={id} entry={entry} onPins={onPins} />
      {isGroup(id) ? (
        <GroupDetails id={id} isCommunity={entry?.kind === "community"} />
      ) : (
        <DirectDetails id={id} name={name} />
      )}
    </Panel>
  );
}

const HOUR_MS = 3_600_000;
const FOREVER = "9999-12-31T00:00:00.000Z";

function OwnSettings({ id, entry, onPins }: { id: string; entry: InboxEntry | undefined; onPins: () => void }) {
  const { t, dateTime } = useI18n();
  const store = useChat();
  const attempt = useAttempt();
  const [muteAnchor, setMuteAnchor] = useState<Element>();
  const set = (settings: Parameters<typeof store.set>[1]) => void attempt(store.set(id, settings));
  const muted = isMuted(entry?.mutedUntil);
  const muteFor = (ms: number | undefined) => () => {
    setMuteAnchor(undefined);
    set({ mutedUntil: ms === undefined ? FOREVER : new Date(Date.now() + ms).toISOString() });
  };
  const isUnread = entry !== undefined && (entry.markedUnread || entry.unreadCount > 0);
  return (
    <div className="settings-list">
      <button type="button" aria-pressed={muted} onClick={(event) => (muted ? set({ mutedUntil: null }) : setMuteAnchor(event.currentTarget))}>
        <Icon name={muted ? "bell" : "mute"} />
        <span>
          {t(muted ? "unmute" : "mute")}
          {muted && entry?.mutedUntil && !entry.mutedUntil.startsWith("9999") && (
            <small>{t("mutedUntil", { time: dateTime(entry.mutedUntil) })}</small>
          )}
        </span>
      </button>
      <button type="button" aria-pressed={entry?.pinned ?? false} onClick={() => set({ pinned: !entry?.pinned })}>
        <Icon name="pin" />
        {t(entry?.pinned ? "unpinChat" : "pinChat")}
      </button>
      <button type="button" onClick={() => (isUnread ? store.markRead(id) : set({ markedUnread: true }))}>
        <Icon name="chat" />
        {t(isUnread ? "markRead" : "markUnread")}
      </button>
      <button type="button" onClick={onPins}>
        <Icon name="pin" />
        {t("pins")}
      </button>
      {muteAnchor && (
        <Menu
          label={t("mute")}
          anchor={muteAnchor}
          onClose={() => setMuteAnchor(undefined)}
          actions={[
            { label: t("mute1h"), icon: "clock", run: muteFor(HOUR_MS) },
            { label: t("mute1d"), icon: "clock", run: muteFor(24 * HOUR_MS) },
            { label: t("muteAlways"), icon: "mute", run: muteFor(undefined) },
          ]}
        />
      )}
    </div>
  );
}

function DirectDetails({ id, name }: { id: string; name: string }) {
  const { t } = useI18n();
  const { client, userId, about } = useSignedIn();
  const store = useChat();
  const attempt = useAttempt();
  const [, navigate] = useLocation();
  const [asked, setAsked] = useState<"block" | "clear">();
  const [isBlocked, setBlocked] = useState(false);
  const peer = peerOf(id, userId) ?? "";
  const canBlock = about.auth === "builtin";
  useEffect(() => {
    if (!canBlock) return;
    client.request("get_blocked_users", {}).then(
      ({ users }) => setBlocked(users.some((user) => user.userId === peer)),
      () => {},
    );
  }, [client, peer, canBlock]);

  async function block(isOn: boolean) {
    const fields = { userId: peer };
    if (await attempt(isOn ? client.request("block_user", fields) : client.request("unblock_user", fields))) setBlocked(isOn);
  }
  async function clear() {
    if (!(await attempt(client.request("delete_conversation", { conversationId: id })))) return;
    navigate("/");
    void store.refresh();
  }
  return (
    <div className="settings-list">
      {canBlock && (
        <button type="button" className="danger" onClick={() => (isBlocked ? void block(false) : setAsked("block"))}>
          <Icon name="block" />
          {t(isBlocked ? "unblock" : "block", { name })}
        </button>
      )}
      <button type="button" className="danger" onClick={() => setAsked("clear")}>
        <Icon name="trash" />
        {t("clearChat")}
      </button>
      {asked === "block" && (
        <Confirm
          title={t("blockTitle", { name })}
          hint={t("blockHint")}
          action={t("block", { name })}
          onConfirm={() => void block(true)}
          onClose={() => setAsked(undefined)}
        />
      )}
      {asked === "clear" && (
        <Confirm
          title={t("clearTitle")}
          hint={t("clearHint")}
          action={t("remove")}
          onConfirm={() => void clear()}
          onClose={() => setAsked(undefined)}
        />
      )}
    </div>
  );
}

type Asked = { what: "leave" | "delete" | "add" | "edit" } | { what: "remove" | "transfer"; member: Member };

function GroupDetails({ id, isCommunity }: { id: string; isCommunity: boolean }) {
  const { t } = useI18n();
  const { client, userId } = useSignedIn();
  const store = useChat();
  const people = usePeople();
  const attempt = useAttempt();
  const [, navigate] = useLocation();
  const [asked, setAsked] = useState<Asked>();
  const [menu, setMenu] = useState<{ member: Member; anchor: Element }>();
  const group = people.group(id);
  // Renders again when they come and go.
  useOnline();
  useEffect(() => people.reload(id), [people, id]);
  if (!group) return null;
  const role = group.members.find((member) => member.userId === userId)?.role;
  const isOwner = role === "owner";
  const isModerator = isOwner || role === "admin";

  const groupId = id;
  const close = () => setAsked(undefined);
  async function change(action: Promise<unknown>, endsHere = false) {
    if (!(await attempt(action))) return;
    people.reload(id);
    if (endsHere) {
      navigate("/");
      void store.refresh();
    }
  }
  const actionsFor = (member: Member): Action[] => {
    const fields = { groupId, userId: member.userId };
    const then = (run: () => void) => () => (setMenu(undefined), run());
    const actions: Action[] = [];
    if (isOwner && member.role === "member") {
      actions.push({ label: t("promote"), icon: "people", run: then(() => void change(client.request("promote_member", fields))) });
    }
    if (isOwner && member.role === "admin") {
      actions.push({ label: t("demote"), icon: "person", run: then(() => void change(client.request("demote_member", fields))) });
    }
    if (isOwner) actions.push({ label: t("transfer"), icon: "send", run: then(() => setAsked({ what: "transfer", member })) });
    if (isOwner || member.role === "member") {
      const run = then(() => setAsked({ what: "remove", member }));
      actions.push({ label: t("removeMember"), icon: "leave", isDangerous: true, run });
    }
    return actions;
  };

  return (
    <>
      <div className="members">
        <h3>{t("members", { count: group.members.length })}</h3>
        {isCommunity && <p className="hint">{t("communityHint")}</p>}
        {isModerator && !isCommunity && (
          <button type="button" className="member-add" onClick={() => setAsked({ what: "add" })}>
            <Icon name="plus" />
            {t("addMember")}
          </button>
        )}
        <ul className="people">
          {group.members.map((member) => {
            const name = member.displayName || member.username;
            const hasMenu = isModerator && !isCommunity && member.userId !== userId && member.role !== "owner";
            return (
              <li key={member.userId} className="person">
                <Avatar id={member.userId} name={name} size="small" isOnline={people.isOnline(member.userId)} />
                <span dir="auto">
                  {name}
                  {people.isOnline(member.userId) && <span className="visually-hidden">, {t("online")}</span>}
                  {member.userId === userId && <small> · {t("you")}</small>}
                </span>
                {member.role !== "member" && <span className="role">{t(member.role)}</span>}
                {hasMenu && actionsFor(member).length > 0 && (
                  <button
                    type="button"
                    className="icon-button"
                    aria-haspopup="menu"
                    aria-label={`${t("more")}: ${name}`}
                    onClick={(event) => setMenu({ member, anchor: event.currentTarget })}
                  >
                    <Icon name="more" size={18} />
                  </button>
                )}
              </li>
            );
          })}
        </ul>
      </div>
      {!isCommunity && (
        <div className="settings-list">
          {isModerator && (
            <button type="button" onClick={() => setAsked({ what: "edit" })}>
              <Icon name="edit" />
              {t("editGroup")}
            </button>
          )}
          {isOwner ? (
            <button type="button" className="danger" onClick={() => setAsked({ what: "delete" })}>
              <Icon name="trash" />
              {t("deleteGroup")}
            </button>
          ) : (
            <button type="button" className="danger" onClick={() => setAsked({ what: "leave" })}>
              <Icon name="leave" />
              {t("leave")}
            </button>
          )}
        </div>
      )}
      {menu && <Menu label={t("more")} anchor={menu.anchor} actions={actionsFor(menu.member)} onClose={() => setMenu(undefined)} />}
      {asked?.what === "add" && (
        <Dialog title={t("addMember")} onClose={close}>
          <PersonSearch
            hidden={group.members.map((member) => member.userId)}
            onChoose={(person) => (close(), void change(client.request("add_group_member", { groupId, userId: person.userId })))}
          />
        </Dialog>
      )}
      {asked?.what === "edit" && (
        <EditGroup
          name={group.groupName}
          description={group.groupDescription}
          onSave={(groupName, groupDescription) =>
            (close(), void change(client.request("update_group_info", { groupId, groupName, groupDescription })))
          }
          onClose={close}
        />
      )}
      {asked?.what === "leave" && (
        <Confirm
          title={t("leaveTitle")}
          hint={t("leaveHint")}
          action={t("leave")}
          onConfirm={() => void change(client.request("leave_group", { groupId }), true)}
          onClose={close}
        />
      )}
      {asked?.what === "delete" && (
        <Confirm
          title={t("deleteGroupTitle")}
          hint={t("deleteGroupHint")}
          action={t("deleteGroup")}
          onConfirm={() => void change(client.request("delete_group", { groupId }), true)}
          onClose={close}
        />
      )}
      {asked?.what === "transfer" && (
        <Confirm
          title={t("transferTitle", { name: asked.member.displayName })}
          hint={t("transferHint")}
          action={t("transfer")}
          onConfirm={() => void change(client.request("transfer_ownership", { groupId, userId: asked.member.userId }))}
          onClose={close}
        />
      )}
      {asked?.what === "remove" && (
        <Confirm
          title={t("removeTitle", { name: asked.member.displayName })}
          hint={t("removeHint")}
          action={t("removeMember")}
          onConfirm={() => void change(client.request("remove_group_member", { groupId, userId: asked.member.userId }))}
          onClose={close}
        />
      )}
    </>
  );
}

interface EditProps {
  name: string;
  description: string;
  onSave: (name: string, description: string) => void;
  onClose: () => void;
}

function EditGroup({ name, description, onSave, onClose }: EditProps) {
  const { t } = useI18n();
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onSave(String(form.get("name")), String(form.get("description")));
  }
  return (
    <Dialog title={t("editGroup")} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Field label={t("groupName")} name="name" defaultValue={name} maxLength={100} required data-autofocus />
        <Field label={t("groupDescription")} name="description" defaultValue={description} maxLength={500} />
        <button type="submit" className="button wide">
          {t("save")}
        </button>
      </form>
    </Dialog>
  );
}
