// Chooses the screen: signing in, or the chat.
import { ChatProvider } from "@elitescore/chat/react";
import { Component, lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { type Chat, ChatContext, openChat } from "./chat/chat";
import { I18nProvider, type Language, useI18n } from "./i18n";
import type { Texts } from "./i18n/en";
import { Shell } from "./screens/shell";
import type { About } from "./session/accounts";
import { useSession } from "./session/session";
import { Empty, Spinner } from "./ui/empty";
import { Toasts } from "./ui/toasts";

const SignIn = lazy(() => import("./screens/sign-in"));

export function App({ initial }: { initial: [Language, Texts] }) {
  return (
    <I18nProvider initial={initial}>
      <Boundary>
        <Start />
      </Boundary>
      <Toasts />
    </I18nProvider>
  );
}

function Start() {
  const { t } = useI18n();
  const session = useSession();
  switch (session.name) {
    case "loading":
      return <Spinner label={t("loading")} />;
    case "unreachable":
      return (
        <main className="alone">
          <Empty isAlone icon="offline" title={t("unreachable")} hint={t("unreachableHint")} />
        </main>
      );
    case "signedOut":
      return (
        <Suspense fallback={<Spinner label={t("loading")} />}>
          <SignIn about={session.about} ended={session.ended} />
        </Suspense>
      );
    case "signedIn":
      return <SignedIn key={session.userId} userId={session.userId} about={session.about} />;
  }
}

function SignedIn({ userId, about }: { userId: string; about: About }) {
  const { t } = useI18n();
  const [chat, setChat] = useState<Chat>();
  useEffect(() => {
    const opened = openChat(userId, about);
    setChat(opened);
    return () => {
      opened.store.close();
      opened.client.close();
    };
  }, [userId, about]);
  if (!chat) return <Spinner label={t("loading")} />;
  return (
    <ChatContext value={chat}>
      <ChatProvider store={chat.store}>
        <Shell />
      </ChatProvider>
    </ChatContext>
  );
}

/** A bug must not leave an empty page. */
class Boundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    return this.state.hasFailed ? <Crashed /> : this.props.children;
  }
}

function Crashed() {
  const { t } = useI18n();
  return (
    <main className="alone">
      <Empty isAlone icon="alert" title={t("crashedTitle")} hint={t("crashedHint")}>
        <button type="button" className="button" onClick={() => location.reload()}>
          {t("reload")}
        </button>
      </Empty>
    </main>
  );
}
