// What the user has to know about the connection; nothing while it is good.
import { useConnection } from "@elitescore/chat/react";
import { useEffect, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { useI18n } from "../i18n";
import { Empty } from "../ui/empty";
import { Icon } from "../ui/icon";

/** A short interruption is not shown. */
const SILENT_MS = 1_500;

/** Why there is no connection, once that is worth a word. */
export function useInterruption(): "waiting" | "syncing" | "reconnecting" | undefined {
  const { name } = useConnection();
  const isOnline = name === "online";
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(!isOnline), isOnline ? 0 : SILENT_MS);
    return () => clearTimeout(timer);
  }, [isOnline]);
  if (isOnline || !isShown) return undefined;
  return name === "waiting" || name === "syncing" ? name : "reconnecting";
}

export function ConnectionBanner() {
  const { t } = useI18n();
  const { client } = useSignedIn();
  const interruption = useInterruption();
  return (
    <div role="status" className="connection">
      {interruption && (
        <p>
          <Icon name="offline" size={18} />
          <span>{t(interruption === "waiting" ? "offlineBanner" : interruption)}</span>
          {interruption === "waiting" && (
            <button type="button" className="button small" onClick={() => client.wake()}>
              {t("retryNow")}
            </button>
          )}
        </p>
      )}
    </div>
  );
}

export function Replaced() {
  const { t } = useI18n();
  return (
    <main className="alone">
      <Empty isAlone icon="copy" title={t("replacedTitle")} hint={t("replacedHint")}>
        <button type="button" className="button" onClick={() => location.reload()}>
          {t("useHere")}
        </button>
      </Empty>
    </main>
  );
}
