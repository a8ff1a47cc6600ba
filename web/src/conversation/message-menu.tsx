// What can be done with a message: a row of reactions, and the actions that its sender, its kind and the user's role
// allow.
import { useChat } from "@elitescore/chat/react";
import type { ChatMessage } from "@elitescore/chat/store";
import { lazy, Suspense, useEffect, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { isGroup } from "../chat/ids";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Confirm, Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { type Action, Menu } from "../ui/menu";
import { toast, useAttempt } from "../ui/toasts";

const EmojiPicker = lazy(() => import("./emoji-picker"));

const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🎉"];
const EDIT_WINDOW_MS = 5 * 60_000;

interface Props {
  id: string;
  message: ChatMessage;
  anchor: Element;
  readBy: ReadonlyMap<string, number>;
  onReply: (message: ChatMessage) => void;
  onEdit: (message: ChatMessage) => void;
  onClose: () => void;
}

type Step = "menu" | "emoji" | "readBy" | "deleteForAll" | "deleteForMe";

export function MessageMenu({ id, message, anchor, readBy, onReply, onEdit, onClose }: Props) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const store = useChat();
  const people = usePeople();
  const attempt = useAttempt();
  const [step, setStep] = useState<Step>("menu");
  const [openedAt] = useState(Date.now);

  const inGroup = isGroup(id);
  const role = people.group(id)?.members.find((member) => member.userId === userId)?.role;
  const isModerator = role === "owner" || role === "admin";
  const isMine = message.isOwn && message.kind !== "system";
  const copy = (text: string) => void navigator.clipboard.writeText(text).then(() => toast(t("copied")), () => {});

  const next = (step: Step) => () => setStep(step);
  const actions: Action[] = [{ label: t("reply"), icon: "reply", run: () => (onReply(message), onClose()) }];
  if (isMine && openedAt - Date.parse(message.createdAt) < EDIT_WINDOW_MS && message.kind === "text") {
    actions.push({ label: t("edit"), icon: "edit", run: () => (onEdit(message), onClose()) });
  }
  actions.push({ label: t("copy"), icon: "copy", run: () => (copy(message.content), onClose()) });
  actions.push({ label: t("copyLink"), icon: "link", run: () => (copy(`${location.origin}/c/${id}/${message.seq}`), onClose()) });
  if (!inGroup || isModerator) {
    const isPinned = message.isPinned;
    const pin = () => (onClose(), void attempt(store.pin(message, !isPinned)));
    actions.push({ label: t(isPinned ? "unpin" : "pin"), icon: "pin", run: pin });
  }
  if (inGroup && isMine) actions.push({ label: t("readBy"), icon: "eye", run: next("readBy") });
  actions.push({ label: t("deleteForMe"), icon: "trash", isDangerous: true, run: next("deleteForMe") });
  if (isMine || (inGroup && isModerator)) {
    actions.push({ label: t("deleteForAll"), icon: "trash", isDangerous: true, run: next("deleteForAll") });
  }

  const react = (emoji: string) => (onClose(), void attempt(store.react(message, emoji)));
  const remove = (forEveryone: boolean) => void attempt(store.remove(message, forEveryone));
  if (step === "emoji") {
    return (
      <Dialog title={t("react")} onClose={onClose} className="emoji-dialog">
        <Suspense>
          <EmojiPicker onChoose={react} />
        </Suspense>
      </Dialog>
    );
  }
  if (step === "readBy") return <ReadBy id={id} message={message} readBy={readBy} onClose={onClose} />;
  if (step === "deleteForAll" || step === "deleteForMe") {
    const forAll = step === "deleteForAll";
    return (
      <Confirm
        title={t("deleteTitle")}
        hint={t(forAll ? "deleteForAllHint" : "deleteForMeHint")}
        action={t(step)}
        onConfirm={() => remove(forAll)}
        onClose={onClose}
      />
    );
  }
  return (
    <Menu label={t("more")} actions={actions} anchor={anchor} onClose={onClose}>
      <div className="quick-reactions" role="group" aria-label={t("react")}>
        {QUICK.map((emoji) => (
          <button key={emoji} type="button" role="menuitem" aria-label={`${t("react")} ${emoji}`} onClick={() => react(emoji)}>
            {emoji}
          </button>
        ))}
        <button type="button" role="menuitem" aria-label={t("moreReactions")} onClick={next("emoji")}>
          <Icon name="plus" size={18} />
        </button>
      </div>
    </Menu>
  );
}

interface ReadByProps {
  id: string;
  message: ChatMessage;
  readBy: ReadonlyMap<string, number>;
  onClose: () => void;
}

function ReadBy({ id, message, readBy, onClose }: ReadByProps) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const people = usePeople();
  const readers = [...readBy].filter(([reader, seq]) => reader !== userId && seq >= message.seq).map(([reader]) => reader);
  const members = people.group(id)?.members ?? [];
  // The server tells only the sender of the newest message that was read.
  useEffect(() => people.reload(id), [people, id]);
  return (
    <Dialog title={t("readBy")} onClose={onClose}>
      {readers.length === 0 && <p>{t("readByNobody")}</p>}
      <ul className="people">
        {readers.map((reader) => {
          const name = members.find((member) => member.userId === reader)?.displayName ?? people.person(reader)?.displayName ?? reader;
          return (
            <li key={reader} className="person">
              <Avatar id={reader} name={name} size="small" />
              <span dir="auto">{name}</span>
            </li>
          );
        })}
      </ul>
    </Dialog>
  );
}
