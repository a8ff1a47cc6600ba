// What a tab of the browser tests runs: a client whose state the test reads.
import { createElement } from "react";
import { hydrateRoot } from "react-dom/client";
import { ChatClient } from "../../src/index";
import { indexedDb } from "../../src/persist";
import { ChatStore } from "../../src/store";
import { shareSocket } from "../../src/tabs";
import { Page } from "./conversation";

interface Start {
  url: string;
  isShared: boolean;
  persist?: boolean;
}

const arrived: string[] = [];
let tokens = 0;
let client: ChatClient | undefined;
let store: ChatStore | undefined;
const log: string[] = [];
const epochs: (string | undefined)[] = [];

const tab = {
  start({ url, isShared, persist }: Start) {
    const database = indexedDb({ name: "1" });
    client = new ChatClient({
      url,
      getToken: () => `token${++tokens}`,
      persist: persist ? database : undefined,
      tabs: isShared ? shareSocket({ name: "1" }) : undefined,
      logger: (line) => log.push(line),
    });
    store = new ChatStore(client, { cache: persist ? database.cache : undefined });
    client.on("message", ({ content }) => void arrived.push(content));
    client.on("auth_success", ({ epoch }) => void epochs.push(epoch));
    client.on("epoch_changed", ({ epoch }) => void epochs.push(epoch));
    void client.start();
  },
  send: (content: string) => client?.send({ recipientId: "2" }, content).sent.then(({ seq }) => seq),
  read: (id: string) => {
    const window = store?.messages(id);
    window?.subscribe(() => {});
    return window?.getSnapshot().messages.map(({ content }) => content);
  },
  /** Takes over what a server has rendered, with the state that there is by now. */
  hydrate(html: string, id: string) {
    document.body.innerHTML = html;
    const onRecoverableError = (error: unknown) => log.push(String(error));
    hydrateRoot(document.body, createElement(Page, { store: store as ChatStore, id }), { onRecoverableError });
  },
  shown: () => document.body.textContent,
  edit: (messageId: string, content: string) => client?.request("edit_message", { messageId, content }).then(() => true),
  state: () => ({ name: client?.state.name, arrived, tokens, outbox: client?.outbox.length, log, epochs }),
};
export type Tab = typeof tab;
Object.assign(globalThis, { tab });
