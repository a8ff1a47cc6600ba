// The message composer: a text field that grows, completion of mentions, and the message being replied to or edited.
import { useChat } from "@elitescore/chat/react";
import type { ChatMessage } from "@elitescore/chat/store";
import { type KeyboardEvent, lazy, memo, Suspense, useCallback, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { isGroup } from "../chat/ids";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { useAttempt } from "../ui/toasts";
import { draftsChanged, readDraft, saveDraft } from "./drafts";
import { folded, typedMention } from "./mentions";

const EmojiPicker = lazy(() => import("./emoji-picker"));

const MAX_CHARACTERS = 5_000;
const SHOWN_COUNT_FROM = 4_500;
const MAX_SUGGESTIONS = 6;

interface Props {
  id: string;
  name: string;
  replyTo: ChatMessage | undefined;
  editing: ChatMessage | undefined;
  onDone: () => void;
  onEditLast: () => void;
}

export const Composer = memo(function Composer({ id, name, replyTo, editing, onDone, onEditLast }: Props) {
  const { t } = useI18n();
  const { userId, client } = useSignedIn();
  const store = useChat();
  const attempt = useAttempt();
  const [text, setText] = useState(() => readDraft(userId, id));
  const [caret, setCaret] = useState(0);
  const [isFocused, setFocused] = useState(false);
  const [isPicking, setPicking] = useState(false);
  const input = useRef<HTMLTextAreaElement>(null);
  const kept = useRef("");

  // Editing replaces the draft, and restores it afterwards.
  const editedKey = editing?.key;
  const [wasEditing, setWasEditing] = useState<string>();
  if (editedKey !== wasEditing) {
    setWasEditing(editedKey);
    setText(editing ? editing.content : readDraft(userId, id));
  }
  useEffect(() => {
    if (!editing && !replyTo) return;
    input.current?.focus();
    const length = input.current?.value.length ?? 0;
    input.current?.setSelectionRange(length, length);
  }, [editing, replyTo]);

  useLayoutEffect(() => {
    const area = input.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [text]);

  useEffect(() => {
    kept.current = text;
    if (!editing) saveDraft(userId, id, text);
  }, [text, editing, userId, id]);
  useEffect(() => draftsChanged, []);
  // On a phone the keyboard would hide what the user came to read.
  useEffect(() => {
    if (matchMedia("(hover: hover) and (min-width: 48rem)").matches) input.current?.focus();
  }, []);

  const mentions = useMentions(id, isFocused ? text : "", caret, (username, start) => {
    const rest = text.slice(caret);
    const before = `${text.slice(0, start)}@${username} `;
    setText(before + rest.replace(/^ /, ""));
    setCaret(before.length);
    requestAnimationFrame(() => input.current?.setSelectionRange(before.length, before.length));
  });

  const characters = text.length < SHOWN_COUNT_FROM ? text.length : [...text].length;
  const canSend = text.trim() !== "" && characters <= MAX_CHARACTERS;

  const finish = useCallback(() => {
    setText("");
    saveDraft(userId, id, "");
    onDone();
  }, [userId, id, onDone]);

  function submit() {
    if (!canSend) return;
    if (editing) {
      if (text !== editing.content) void attempt(store.edit(editing, text));
      onDone();
      return;
    }
    store.send(id, text, replyTo?.messageId);
    store.setTyping(id, false);
    finish();
    input.current?.focus();
  }

  function announce() {
    if (!canSend) return;
    const content = text;
    finish();
    void attempt(client.request("send_announcement", { groupId: id, content })).then((isDone) => {
      if (!isDone) setText(content);
    });
  }

  function press(event: KeyboardEvent<HTMLTextAreaElement>) {
    if (event.nativeEvent.isComposing || mentions.press(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && (editing || replyTo)) {
      event.preventDefault();
      onDone();
    } else if (event.key === "ArrowUp" && !event.altKey && text === "" && !editing) {
      event.preventDefault();
      onEditLast();
    }
  }

  function change(value: string, position: number) {
    setText(value);
    setCaret(position);
    if (!editing) store.setTyping(id, value.trim() !== "");
  }

  const role = usePeople().group(id)?.members.find((member) => member.userId === userId)?.role;
  const mayAnnounce = isGroup(id) && (role === "owner" || role === "admin") && !editing && !replyTo;
  const referred = editing ?? replyTo;
  return (
    <form className="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
      {referred && (
        <div className="referred">
          <Icon name={editing ? "edit" : "reply"} size={18} />
          <span>
            <strong>
              {editing
                ? t("editing")
                : t("replyingTo", { name: referred.senderId === userId ? t("you") : referred.senderUsername })}
            </strong>
            <span dir="auto">{referred.content}</span>
          </span>
          <button type="button" className="icon-button" aria-label={t("cancel")} onClick={onDone}>
            <Icon name="close" size={18} />
          </button>
        </div>
      )}
      {mentions.list}
      <div className="composer-line">
        <button type="button" className="icon-button" aria-label={t("emoji")} title={t("emoji")} onClick={() => setPicking(true)}>
          <Icon name="smile" />
        </button>
        <textarea
          ref={input}
          rows={1}
          dir="auto"
          value={text}
          aria-label={t("writeTo", { name })}
          placeholder={t("message")}
          title={t("sendHint")}
          enterKeyHint="send"
          onChange={(event) => change(event.target.value, event.target.selectionStart)}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onKeyDown={press}
          onFocus={() => setFocused(true)}
          onBlur={() => (setFocused(false), draftsChanged())}
          {...mentions.attributes}
        />
        {characters >= SHOWN_COUNT_FROM && (
          <span className={characters > MAX_CHARACTERS ? "count over" : "count"} role="status">
            {MAX_CHARACTERS - characters}
          </span>
        )}
        {mayAnnounce && (
          <button
            type="button"
            className="icon-button"
            aria-label={t("announce")}
            title={t("announceHint")}
            disabled={!canSend}
            onClick={announce}
          >
            <Icon name="megaphone" />
          </button>
        )}
        <button type="submit" className="send" aria-label={t(editing ? "save" : "send")} disabled={!canSend}>
          <Icon name={editing ? "check" : "send"} />
        </button>
      </div>
      {isPicking && (
        <Dialog title={t("emoji")} onClose={() => setPicking(false)} className="emoji-dialog">
          <Suspense>
            <EmojiPicker
              onChoose={(emoji) => {
                setPicking(false);
                const at = caret || text.length;
                change(text.slice(0, at) + emoji + text.slice(at), at + emoji.length);
                requestAnimationFrame(() => input.current?.focus());
              }}
            />
          </Suspense>
        </Dialog>
      )}
    </form>
  );
});

interface Suggestion {
  username: string;
  label: string;
  key: string;
}

/** Completes `@na` to a member's name, with arrows, Enter or Tab. */
function useMentions(id: string, text: string, caret: number, onChoose: (username: string, start: number) => void) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const people = usePeople();
  const listId = useId();
  const [chosen, setChosen] = useState(0);
  const [dismissed, setDismissed] = useState<string>();
  const typed = isGroup(id) ? typedMention(text.slice(0, caret)) : undefined;
  const word = typed === undefined ? undefined : folded(typed);
  const start = caret - (typed?.length ?? 0) - 1;

  const suggestions: Suggestion[] = [];
  if (word !== undefined && dismissed !== `${start}`) {
    for (const member of people.group(id)?.members ?? []) {
      if (member.userId === userId) continue;
      const names = [member.username, member.displayName].map(folded);
      if (names.some((name) => name.startsWith(word) && !(names[0] === word && text[caret] === " "))) {
        suggestions.push({ key: member.userId, username: member.username, label: member.displayName || member.username });
      }
    }
    if ("everyone".startsWith(word)) suggestions.push({ key: "everyone", username: "everyone", label: t("mentionEveryone") });
    suggestions.splice(MAX_SUGGESTIONS);
  }
  const active = Math.min(chosen, suggestions.length - 1);

  function press(event: KeyboardEvent): boolean {
    const suggestion = suggestions[active];
    if (!suggestion) return false;
    if (event.key === "Enter" || event.key === "Tab") onChoose(suggestion.username, start);
    else if (event.key === "ArrowDown") setChosen((active + 1) % suggestions.length);
    else if (event.key === "ArrowUp") setChosen((active + suggestions.length - 1) % suggestions.length);
    else if (event.key === "Escape") setDismissed(`${start}`);
    else return false;
    event.preventDefault();
    return true;
  }

  const isOpen = suggestions.length > 0;
  const list = isOpen && (
    <ul id={listId} className="suggestions" role="listbox" aria-label={t("addPeople")}>
      {suggestions.map(({ key, username, label }, index) => (
        // eslint-disable-next-line jsx-a11y/click-events-have-key-events -- the keys are the text field's
        <li
          key={key}
          id={`${listId}-${index}`}
          role="option"
          aria-selected={index === active}
          onMouseDown={(event) => event.preventDefault()}
          onClick={() => onChoose(username, start)}
        >
          <Avatar id={key} name={label} size="small" isGroup={key === "everyone"} />
          <span dir="auto">{label}</span>
          <bdi className="hint" dir="ltr">
            @{username}
          </bdi>
        </li>
      ))}
    </ul>
  );
  const attributes = {
    "aria-autocomplete": "list" as const,
    "aria-controls": isOpen ? listId : undefined,
    "aria-activedescendant": isOpen ? `${listId}-${active}` : undefined,
  };
  return { list, press, attributes };
}
