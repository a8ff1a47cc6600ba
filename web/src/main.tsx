// Starts the client: preferences, session, language, the first screen and the service worker.
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { chosenLanguage, loadTexts } from "./i18n";
import { en } from "./i18n/en";
import { apply } from "./session/preferences";
import { begin } from "./session/session";
import "./styles/index.css";

apply();
void begin();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
const language = chosenLanguage();
loadTexts(language).then(
  (texts) => createRoot(root).render(<App initial={[language, texts]} />),
  () => createRoot(root).render(<App initial={["en", en]} />),
);

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  const { trustedTypes } = globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } } };
  const policy = trustedTypes?.createPolicy("service-worker", { createScriptURL: () => "/sw.js" });
  void navigator.serviceWorker.register(policy?.createScriptURL("") ?? "/sw.js").catch(() => {});
}
