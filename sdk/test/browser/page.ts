// Runs in each tab of the browser tests: a client whose state the test reads.
import { ChatClient } from "../../src/index";
import { indexedDb } from "../../src/persist";
import { ChatStore } from "../../src/store";
import { shareSocket } from "../../src/tabs";

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
    void client.start();
  },
  send: (content: string) => client?.send({ recipientId: "2" }, content).sent.then(({ seq }) => seq),
  read: (id: string) => {
    const window = store?.messages(id);
    window?.subscribe(() => {});
    return window?.getSnapshot().messages.map(({ content }) => content);
  },
  edit: (messageId: string, content: string) => client?.request("edit_message", { messageId, content }).then(() => true),
  state: () => ({ name: client?.state.name, arrived, tokens, outbox: client?.outbox.length, log }),
};
export type Tab = typeof tab;
Object.assign(globalThis, { tab });
