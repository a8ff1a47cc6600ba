// Finding people by the beginning of their names.
import { useEffect, useState } from "react";
import { codeOf, useSignedIn } from "../chat/chat";
import type { Person } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";

const AFTER_MS = 200;

interface Props {
  onChoose: (person: Person) => void;
  hidden?: readonly string[];
}

type Found = { query: string; people: readonly Person[]; isOff: boolean };

export function PersonSearch({ onChoose, hidden = [] }: Props) {
  const { t } = useI18n();
  const { client, userId, people } = useSignedIn();
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<Found>();
  const wanted = query.trim();
  useEffect(() => {
    if (!wanted) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      client.request("find_users", { query: wanted.slice(0, 64) }, { signal: abort.signal }).then(
        ({ users }) => setFound({ query: wanted, people: users, isOff: false }),
        (error: unknown) => {
          if (codeOf(error) !== "ABORTED") setFound({ query: wanted, people: [], isOff: codeOf(error) === "PERMISSION_DENIED" });
        },
      );
    }, AFTER_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [client, wanted]);

  const shown = wanted ? (found?.people.filter((person) => person.userId !== userId && !hidden.includes(person.userId)) ?? []) : [];
  return (
    <div className="person-search">
      <label className="search">
        <Icon name="search" size={18} />
        <input
          type="search"
          dir="auto"
          autoFocus
          data-autofocus
          autoComplete="off"
          placeholder={t("findPeople")}
          aria-label={t("findPeople")}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
        />
      </label>
      <p className="hint" role="status">
        {!wanted ? t("findPeopleHint") : found?.isOff ? t("findPeopleOff") : found?.query === wanted && shown.length === 0 ? t("nobodyFound") : ""}
      </p>
      <ul className="people">
        {shown.map((person) => (
          <li key={person.userId}>
            <button type="button" className="person" onClick={() => (people.add(person), setQuery(""), onChoose(person))}>
              <Avatar id={person.userId} name={person.displayName || person.username} isOnline={person.online ?? false} />
              <span>
                <span dir="auto">{person.displayName || person.username}</span>
                {person.online && <span className="visually-hidden">, {t("online")}</span>}
                <small>
                  <bdi dir="ltr">@{person.username}</bdi>
                </small>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
