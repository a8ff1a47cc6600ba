// The connection of the signed-in user, and the store that the screens show.
import { type ChatClient, ChatError, connect } from "@elitescore/chat";
import { indexedDb } from "@elitescore/chat/persist";
import { type ChatStore, createStore } from "@elitescore/chat/store";
import { createContext, useContext } from "react";
import type { About } from "../session/accounts";
import { currentToken, expel } from "../session/session";
import { notifyOf } from "./notifications";
import { People } from "./people";

export interface Chat {
  client: ChatClient;
  store: ChatStore;
  people: People;
  userId: string;
  about: About;
}

export function openChat(userId: string, about: About): Chat {
  const address = new URL("/ws", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const persist = indexedDb({ name: userId });
  const client = connect({
    url: address.href,
    getToken: ({ reason }) => currentToken(reason),
    persist,
  });
  // As much as a user may scroll through at once: what is dropped has to be loaded again.
  const store = createStore(client, { cache: persist.cache, maxMessages: 10_000 });
  const chat = { client, store, people: new People(client, store, userId), userId, about };
  client.on("state", (state) => {
    if (state.name !== "refused") return;
    expel(state.code === "TOKEN_EXPIRED" || state.code === "TOKEN_INVALID" ? "expired" : "revoked");
  });
  client.on("message", (message) => notifyOf(message, chat));
  return chat;
}

export const ChatContext = createContext<Chat | undefined>(undefined);

export function useSignedIn(): Chat {
  const chat = useContext(ChatContext);
  if (!chat) throw new Error("Nobody is signed in");
  return chat;
}

export function codeOf(error: unknown): string {
  return error instanceof ChatError ? error.code : "INTERNAL_ERROR";
}
