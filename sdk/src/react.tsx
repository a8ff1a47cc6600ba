// Hooks over a store. On a server they show the empty state, without a connection.
import { createContext, type ReactElement, type ReactNode, useContext, useSyncExternalStore } from "react";
import type { ChatStore, Inbox, MessageList, Readable, Typist } from "./store";
import type { State } from "./index";

const Context = createContext<ChatStore | undefined>(undefined);

const IDLE: State = { name: "idle" };
const NO_INBOX: Inbox = { status: "loading", entries: [], totalUnread: 0, hasMore: false };
const NO_MESSAGES: MessageList = {
  status: "loading",
  messages: [],
  hasBefore: false,
  hasAfter: false,
  isLoadingBefore: false,
  isLoadingAfter: false,
  deliveredSeq: 0,
  readBy: new Map(),
};
const NOBODY: readonly Typist[] = [];
const NO_ONE: ReadonlySet<string> = new Set();

/** Gives the hooks below it their store. */
export function ChatProvider({ store, children }: { store: ChatStore; children?: ReactNode }): ReactElement {
  return <Context.Provider value={store}>{children}</Context.Provider>;
}

/** The store, for its actions: `useChat().send(id, "hello")`. */
export function useChat(): ChatStore {
  const store = useContext(Context);
  if (!store) throw new Error("There is no <ChatProvider> above this component");
  return store;
}

/** The state of the client's connection. */
export function useConnection(): State {
  return useReadable(useChat().connection, IDLE);
}

/** The list of conversations, pinned ones first. */
export function useInbox(): Inbox {
  return useReadable(useChat().inbox, NO_INBOX);
}

/** Loads the newest messages of the conversation when it is first shown. */
export function useMessages(conversationId: string): MessageList {
  return useReadable(useChat().messages(conversationId), NO_MESSAGES);
}

/** Who else is typing there. */
export function useTyping(conversationId: string): readonly Typist[] {
  return useReadable(useChat().typing(conversationId), NOBODY);
}

/** User ids of everybody who is online. */
export function useOnline(): ReadonlySet<string> {
  return useReadable(useChat().online, NO_ONE);
}

function useReadable<T>(readable: Readable<T>, onServer: T): T {
  return useSyncExternalStore(readable.subscribe, readable.getSnapshot, () => onServer);
}
