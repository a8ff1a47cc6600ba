// Chooses members, asks for a name and creates a group.
import { useChat } from "@elitescore/chat/react";
import { type FormEvent, useState } from "react";
import { useLocation } from "wouter";
import { useSignedIn } from "../chat/chat";
import type { Person } from "../chat/people";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Field } from "../ui/field";
import { Icon } from "../ui/icon";
import { toast, useAttempt } from "../ui/toasts";
import { PersonSearch } from "./person-search";
import { SidePanel } from "./side-panel";

export default function NewGroup() {
  const { t } = useI18n();
  const { client } = useSignedIn();
  const store = useChat();
  const attempt = useAttempt();
  const [, navigate] = useLocation();
  const [chosen, setChosen] = useState<readonly Person[]>([]);
  const [isBusy, setBusy] = useState(false);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const fields = {
      groupName: String(form.get("name")).trim(),
      groupDescription: String(form.get("description")).trim(),
      initialMembers: chosen.map((person) => person.userId),
    };
    setBusy(true);
    const creating = client.request("create_group", fields).then((group) => {
      if (group.skippedMembers?.length) toast(t("someSkipped", { count: group.skippedMembers.length }));
      void store.refresh();
      navigate(`/c/${group.groupId}`);
    });
    void attempt(creating).finally(() => setBusy(false));
  }

  return (
    <SidePanel title={t("newGroup")} back="/new">
      <form id="group" className="stack" onSubmit={submit}>
        <Field label={t("groupName")} name="name" maxLength={100} required autoFocus />
        <Field label={t("groupDescription")} name="description" maxLength={500} />
      </form>
      <h2 className="side-title">
        {t("addPeople")} {chosen.length > 0 && <small>{t("chosen", { count: chosen.length })}</small>}
      </h2>
      {chosen.length > 0 && (
        <ul className="chips">
          {chosen.map((person) => (
            <li key={person.userId}>
              <button type="button" onClick={() => setChosen(chosen.filter((other) => other !== person))}>
                <span className="visually-hidden">{t("remove")}:</span>
                <Avatar id={person.userId} name={person.displayName || person.username} size="small" />
                <span dir="auto">{person.displayName || person.username}</span>
                <Icon name="close" size={14} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <PersonSearch hidden={chosen.map((person) => person.userId)} onChoose={(person) => setChosen([...chosen, person])} />
      <button type="submit" form="group" className="button wide sticky" disabled={isBusy}>
        {t("createGroup")}
      </button>
    </SidePanel>
  );
}
