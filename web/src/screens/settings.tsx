// The user's account, and the preferences on this device.
import { useConnection } from "@elitescore/chat/react";
import { useEffect, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { allowNotifications } from "../chat/notifications";
import type { Person } from "../chat/people";
import { type Language, LANGUAGES, useI18n } from "../i18n";
import { getTheme, setNotifications, setTheme, type Theme, usePreference, wantsNotifications } from "../session/preferences";
import { leave } from "../session/session";
import { Avatar } from "../ui/avatar";
import { Confirm } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { toast, useAttempt } from "../ui/toasts";
import { Devices } from "./devices";
import { SidePanel } from "./side-panel";

const THEMES = [
  ["system", "themeSystem"],
  ["light", "themeLight"],
  ["dark", "themeDark"],
] as const satisfies readonly (readonly [Theme, string])[];

export default function Settings() {
  const { t, language, setLanguage } = useI18n();
  const { client, userId, about } = useSignedIn();
  // Renders again when the server has sent the user's profile.
  useConnection();
  const me = client.me;
  const theme = usePreference(getTheme);
  const notifies = usePreference(wantsNotifications);
  const [isLeaving, setLeaving] = useState(false);
  const name = me?.displayName || me?.username || "";

  async function toggleNotifications(isOn: boolean) {
    if (isOn && !(await allowNotifications())) return toast(t("notificationsDenied"));
    setNotifications(isOn);
  }

  return (
    <SidePanel title={t("settings")}>
      <div className="details-head">
        <Avatar id={userId} name={name} size="large" />
        <h2 dir="auto">{name}</h2>
        {me && (
          <p className="hint">
            <bdi dir="ltr">@{me.username}</bdi>
          </p>
        )}
        {me?.bio && <p dir="auto">{me.bio}</p>}
      </div>
      <fieldset>
        <legend>{t("appearance")}</legend>
        <div className="segments">
          {THEMES.map(([value, label]) => (
            <label key={value}>
              <input type="radio" name="theme" checked={theme === value} onChange={() => setTheme(value)} />
              <span>{t(label)}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <fieldset>
        <legend>{t("language")}</legend>
        <div className="segments">
          {(Object.entries(LANGUAGES) as [Language, string][]).map(([value, label]) => (
            <label key={value} lang={value}>
              <input type="radio" name="language" checked={language === value} onChange={() => setLanguage(value)} />
              <span>{label}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <fieldset>
        <legend>{t("notifications")}</legend>
        <label className="check">
          <input type="checkbox" checked={notifies} onChange={(event) => void toggleNotifications(event.target.checked)} />
          {t("notificationsOn")}
        </label>
      </fieldset>
      {about.auth === "builtin" && <Devices />}
      {about.auth === "builtin" && <Blocked />}
      <fieldset>
        <legend>{t("shortcuts")}</legend>
        <dl className="shortcuts">
          <dt>
            <bdi dir="ltr">
              <kbd>Ctrl</kbd> <kbd>K</kbd>
            </bdi>
          </dt>
          <dd>{t("shortcutPalette")}</dd>
          <dt>
            <bdi dir="ltr">
              <kbd>Alt</kbd> <kbd>↑</kbd> <kbd>↓</kbd>
            </bdi>
          </dt>
          <dd>{t("shortcutNext")}</dd>
          <dt>
            <bdi dir="ltr">
              <kbd>↑</kbd>
            </bdi>
          </dt>
          <dd>{t("shortcutEdit")}</dd>
          <dt>
            <bdi dir="ltr">
              <kbd>Esc</kbd>
            </bdi>
          </dt>
          <dd>{t("shortcutClose")}</dd>
        </dl>
      </fieldset>
      <fieldset>
        <legend>{t("session")}</legend>
        <p className="hint">{t("signedInAs", { name: me?.username ?? "" })}</p>
        <button type="button" className="line-button danger" onClick={() => setLeaving(true)}>
          <Icon name="leave" />
          {t("signOut")}
        </button>
      </fieldset>
      {isLeaving && (
        <Confirm
          title={t("signOutTitle")}
          hint={t("signOutHint")}
          action={t("signOut")}
          onConfirm={() => void leave()}
          onClose={() => setLeaving(false)}
        />
      )}
    </SidePanel>
  );
}

function Blocked() {
  const { t } = useI18n();
  const { client } = useSignedIn();
  const attempt = useAttempt();
  const [blocked, setBlocked] = useState<readonly Person[]>();
  useEffect(() => {
    client.request("get_blocked_users", {}).then(({ users }) => setBlocked(users), () => {});
  }, [client]);
  if (!blocked) return null;
  async function unblock(person: Person) {
    if (await attempt(client.request("unblock_user", { userId: person.userId }))) {
      setBlocked((now) => now?.filter((other) => other !== person));
    }
  }
  return (
    <fieldset>
      <legend>{t("blockedPeople")}</legend>
      {blocked.length === 0 && <p className="hint">{t("nobodyBlocked")}</p>}
      <ul className="people">
        {blocked.map((person) => (
          <li key={person.userId} className="person">
            <Avatar id={person.userId} name={person.displayName || person.username} size="small" />
            <span dir="auto">{person.displayName || person.username}</span>
            <button type="button" className="button small quiet" onClick={() => void unblock(person)}>
              {t("unblock", { name: person.displayName || person.username })}
            </button>
          </li>
        ))}
      </ul>
    </fieldset>
  );
}
