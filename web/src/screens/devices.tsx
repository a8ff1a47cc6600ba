// Where one is signed in: this device, and others, which one can sign out.
import type { Answers } from "@elitescore/chat";
import { useConnection } from "@elitescore/chat/react";
import { useCallback, useEffect, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { useI18n } from "../i18n";
import { signInOf } from "../session/accounts";
import { useSession } from "../session/session";
import { Confirm } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { toast, useAttempt } from "../ui/toasts";
import { deviceOf } from "./user-agent";

type SignIn = Answers["get_sign_ins"]["signIns"][number];

export function Devices() {
  const { t } = useI18n();
  const { client } = useSignedIn();
  const session = useSession();
  const isOnline = useConnection().name === "online";
  const attempt = useAttempt();
  const [signIns, setSignIns] = useState<readonly SignIn[]>([]);
  const [isAsking, setAsking] = useState(false);
  const load = useCallback(
    () => client.request("get_sign_ins", {}).then(({ signIns }) => setSignIns(signIns), () => {}),
    [client],
  );
  useEffect(() => {
    if (isOnline) void load();
  }, [isOnline, load]);

  const here = session.name === "signedIn" ? signInOf(session.token) : undefined;
  const own = signIns.find(({ signInId }) => signInId === here);
  const others = signIns.filter(({ signInId }) => signInId !== here);
  async function end(signInId: string, others: boolean) {
    if (await attempt(client.request("end_sign_in", { signInId, others }))) toast(t("deviceSignedOut"));
    await load();
  }
  return (
    <fieldset>
      <legend>{t("devices")}</legend>
      <ul className="people">
        {own && <Device signIn={own} isOwn />}
        {others.map((signIn) => (
          <Device key={signIn.signInId} signIn={signIn} onEnd={() => void end(signIn.signInId, false)} />
        ))}
      </ul>
      {others.length === 0 && <p className="hint">{t("devicesNoOthers")}</p>}
      {others.length > 1 && here && (
        <button type="button" className="line-button danger" onClick={() => setAsking(true)}>
          <Icon name="leave" />
          {t("signOutOthers")}
        </button>
      )}
      {isAsking && here && (
        <Confirm
          title={t("signOutOthersTitle")}
          hint={t("signOutOthersHint")}
          action={t("signOutOthers")}
          onConfirm={() => void end(here, true)}
          onClose={() => setAsking(false)}
        />
      )}
    </fieldset>
  );
}

function Device({ signIn, isOwn = false, onEnd }: { signIn: SignIn; isOwn?: boolean; onEnd?: () => void }) {
  const { t, short } = useI18n();
  const { browser, system } = deviceOf(signIn.userAgent ?? "");
  const name = browser && system ? t("deviceOn", { browser, system }) : browser || system || t("deviceUnknown");
  const isPhone = system === "Android" || system === "iOS";
  return (
    <li className="person">
      <Icon name={isPhone ? "phone" : "computer"} />
      <span>
        <span>{name}</span>
        <small>
          {isOwn ? t("session") : t("lastSeen", { time: short(signIn.lastSeenAt) })} · <bdi dir="ltr">{signIn.address}</bdi>
        </small>
      </span>
      {onEnd && (
        <button type="button" className="button small quiet" aria-label={`${t("signOut")}: ${name}`} onClick={onEnd}>
          {t("signOut")}
        </button>
      )}
    </li>
  );
}
