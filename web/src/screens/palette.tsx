// Ctrl+K: jumps to any conversation or person by a few letters.
import { useInbox } from "@elitescore/chat/react";
import { type KeyboardEvent, useEffect, useId, useState } from "react";
import { useLocation } from "wouter";
import { useSignedIn } from "../chat/chat";
import { directId, isGroup, peerOf } from "../chat/ids";
import { nameOf } from "../chat/names";
import { type Person, usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Dialog } from "../ui/dialog";

const AT_MOST = 8;
const AFTER_MS = 200;

interface Option {
  conversationId: string;
  name: string;
}

export default function Palette({ onClose }: { onClose: () => void }) {
  const { t } = useI18n();
  const { client, userId } = useSignedIn();
  const people = usePeople();
  const { entries } = useInbox();
  const [, navigate] = useLocation();
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<readonly Person[]>([]);
  const [chosen, setChosen] = useState(0);
  const listId = useId();
  const wanted = query.trim().toLocaleLowerCase();

  useEffect(() => {
    if (!wanted) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      client.request("find_users", { query: wanted.slice(0, 64), limit: AT_MOST }, { signal: abort.signal }).then(
        ({ users }) => setFound(users),
        () => {},
      );
    }, AFTER_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [client, wanted]);

  const options: Option[] = entries
    .map((entry) => ({ conversationId: entry.conversationId, name: nameOf(entry.conversationId, entry, people, userId) }))
    .filter(({ name }) => name.toLocaleLowerCase().includes(wanted));
  for (const person of wanted ? found : []) {
    const conversationId = directId(userId, person.userId);
    if (person.userId !== userId && !options.some((option) => option.conversationId === conversationId)) {
      options.push({ conversationId, name: person.displayName || person.username });
    }
  }
  options.splice(AT_MOST);
  const active = Math.min(chosen, options.length - 1);

  function go({ conversationId }: Option) {
    const person = found.find((person) => directId(userId, person.userId) === conversationId);
    if (person) people.add(person);
    onClose();
    navigate(`/c/${conversationId}`);
  }

  function press(event: KeyboardEvent) {
    const option = options[active];
    if (event.key === "ArrowDown") setChosen((active + 1) % Math.max(1, options.length));
    else if (event.key === "ArrowUp") setChosen((active + options.length - 1) % Math.max(1, options.length));
    else if (event.key === "Enter" && option) go(option);
    else return;
    event.preventDefault();
  }

  return (
    <Dialog title={t("shortcutPalette")} onClose={onClose} className="palette">
      <input
        type="text"
        role="combobox"
        dir="auto"
        data-autofocus
        autoComplete="off"
        placeholder={t("palettePlaceholder")}
        aria-label={t("palettePlaceholder")}
        aria-expanded={options.length > 0}
        aria-controls={listId}
        aria-activedescendant={options.length > 0 ? `${listId}-${active}` : undefined}
        value={query}
        onChange={(event) => (setQuery(event.target.value), setChosen(0))}
        onKeyDown={press}
      />
      {options.length === 0 && <p className="hint">{t("noMatches", { query: query.trim() })}</p>}
      <ul id={listId} role="listbox" aria-label={t("chats")}>
        {options.map((option, index) => (
          // eslint-disable-next-line jsx-a11y/click-events-have-key-events -- the keys are the text field's
          <li
            key={option.conversationId}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === active}
            onMouseMove={() => setChosen(index)}
            onClick={() => go(option)}
          >
            <Avatar
              id={peerOf(option.conversationId, userId) ?? option.conversationId}
              name={option.name}
              size="small"
              isGroup={isGroup(option.conversationId)}
            />
            <span dir="auto">{option.name}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
