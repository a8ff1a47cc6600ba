// Signing in: with an account of this server, as a demo user of a development server, or by the page around the client.
import { type FormEvent, useEffect, useState } from "react";
import { useI18n } from "../i18n";
import { type About, AccountError, type DemoUser, loadDemoUsers, register, signIn, userOf } from "../session/accounts";
import { isEmbedded } from "../session/host";
import { type Ended, enter } from "../session/session";
import { Avatar } from "../ui/avatar";
import { Field } from "../ui/field";
import { Icon } from "../ui/icon";

export default function SignIn({ about, ended }: { about: About; ended?: Ended | undefined }) {
  const { t } = useI18n();
  const [demo, setDemo] = useState<DemoUser[]>([]);
  useEffect(() => {
    void loadDemoUsers().then(setDemo);
  }, []);
  const isHosted = about.auth === "host";
  return (
    <main className="sign-in">
      <section className="card">
        <span className="logo">
          <Icon name="chat" size={26} />
        </span>
        {ended && (
          <p className="notice" role="alert">
            {t(ended === "revoked" ? "signedOutRevoked" : "signedOutExpired")}
          </p>
        )}
        {isHosted ? (
          demo.length === 0 && (
            <>
              <h1>{t("hostTitle")}</h1>
              <p className="lead">{t(isEmbedded() ? "hostWaiting" : "hostHint")}</p>
            </>
          )
        ) : (
          <AccountForm about={about} />
        )}
        {demo.length > 0 && <Demo users={demo} about={about} isAlone={isHosted} />}
      </section>
    </main>
  );
}

function AccountForm({ about }: { about: About }) {
  const { t } = useI18n();
  const [isNew, setIsNew] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const [isShown, setIsShown] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "");
    setIsBusy(true);
    setProblem("");
    try {
      const token = isNew
        ? await register(text("username"), text("password"), text("displayName").trim())
        : await signIn(text("username"), text("password"));
      enter(token, about);
    } catch (error) {
      const { code, message } = error instanceof AccountError ? error : new AccountError("", t("errorGeneric"));
      if (code === "AUTH_FAILED") setProblem(t("signInWrong"));
      else if (code === "UNREACHABLE") setProblem(t("unreachable"));
      else if (code === "RATE_LIMIT_EXCEEDED") setProblem(t("errorRate"));
      else setProblem(message.replaceAll("`", ""));
      setIsBusy(false);
    }
  }

  return (
    <>
      <h1>{t(isNew ? "registerTitle" : "signInTitle")}</h1>
      <p className="lead">{t(isNew ? "registerHint" : "signInHint")}</p>
      <form onSubmit={(event) => void submit(event)} className="stack">
        <Field
          label={t("username")}
          name="username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          autoFocus
        />
        {isNew && <Field label={t("displayName")} hint={t("displayNameHint")} name="displayName" autoComplete="name" />}
        <Field
          label={t("password")}
          hint={isNew ? t("passwordHint") : undefined}
          name="password"
          type={isShown ? "text" : "password"}
          autoComplete={isNew ? "new-password" : "current-password"}
          minLength={isNew ? 8 : undefined}
          required
        />
        <label className="check">
          <input type="checkbox" checked={isShown} onChange={(event) => setIsShown(event.target.checked)} />
          {t("showPassword")}
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="button wide" disabled={isBusy}>
          {t(isNew ? "register" : "signIn")}
        </button>
      </form>
      <button type="button" className="button quiet wide" onClick={() => (setIsNew(!isNew), setProblem(""))}>
        {t(isNew ? "toSignIn" : "toRegister")}
      </button>
    </>
  );
}

function Demo({ users, about, isAlone }: { users: DemoUser[]; about: About; isAlone: boolean }) {
  const { t } = useI18n();
  const Title = isAlone ? "h1" : "h2";
  return (
    <div className="demo">
      <Title>{t("demoTitle")}</Title>
      <ul>
        {users.map(({ username, token }) => (
          <li key={username}>
            <button type="button" onClick={() => enter(token, about)}>
              <Avatar id={userOf(token) ?? username} name={username} size="small" />
              <span>{username}</span>
            </button>
          </li>
        ))}
      </ul>
      <p className="hint">{t("demoHint")}</p>
    </div>
  );
}
