// Names of people and the members of groups, which the screens need in addition to the store; fetched when first shown.
import type { ChatClient } from "@elitescore/chat";
import type { ChatStore } from "@elitescore/chat/store";
import { useSyncExternalStore } from "react";
import { codeOf, useSignedIn } from "./chat";
import { isGroup, peerOf } from "./ids";

export interface Person {
  userId: string;
  username: string;
  displayName: string;
  /** When the server was asked; `People.isOnline` knows the present. */
  online?: boolean;
}

export interface Member extends Person {
  role: "owner" | "admin" | "member";
  /** Up to where the member had read when the server was asked. */
  readSeq?: number;
}

export interface Group {
  groupName: string;
  groupDescription: string;
  members: readonly Member[];
}

const MEMBERSHIP = [
  "member_added",
  "member_removed",
  "member_left",
  "member_promoted",
  "member_demoted",
  "ownership_transferred",
  "group_info_updated",
] as const;

export class People {
  readonly #client: ChatClient;
  readonly #store: ChatStore;
  readonly #persons = new Map<string, Person>();
  readonly #groups = new Map<string, Group>();
  /** For users in an answer. The store knows all others. */
  readonly #online = new Map<string, boolean>();
  readonly #asked = new Set<string>();
  readonly #gone = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #revision = 0;

  constructor(
    client: ChatClient,
    store: ChatStore,
    private readonly userId: string,
  ) {
    this.#client = client;
    this.#store = store;
    store.inbox.subscribe(() => {
      const known = this.#persons.size;
      for (const { participant } of store.inbox.getSnapshot().entries) if (participant) this.#persons.set(participant.userId, participant);
      if (this.#persons.size !== known) this.#changed();
    });
    for (const event of MEMBERSHIP) client.on(event, ({ groupId }) => this.reload(groupId));
    const cameOrWent = (userId: string, online: boolean) => this.#online.has(userId) && this.#seen([{ userId, online }]);
    client.on("user_online", ({ user }) => void cameOrWent(user.userId, true));
    client.on("user_offline", ({ user }) => void cameOrWent(user.userId, false));
    client.on("state", ({ name }) => {
      // Something may have been missed: those that are shown are fetched again.
      if (name !== "online") return;
      this.#online.clear();
      this.#asked.clear();
      for (const groupId of this.#groups.keys()) this.load(groupId);
    });
  }

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  revision = () => this.#revision;

  person(userId: string): Person | undefined {
    return this.#persons.get(userId);
  }

  /** The name for a message that has only the username. */
  nameFor(username: string): string {
    const person = [...this.#persons.values()].find((person) => person.username === username);
    return person?.displayName || username;
  }

  isOnline(userId: string): boolean {
    return this.#online.get(userId) ?? this.#store.online.getSnapshot().has(userId);
  }

  group(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  /** Whether the server says that there is no such group or person. */
  isGone(conversationId: string): boolean {
    return this.#gone.has(conversationId);
  }

  add(person: Person): void {
    this.#seen([person]);
    if (this.#persons.has(person.userId)) return;
    this.#persons.set(person.userId, person);
    this.#changed();
  }

  /** Fetches what a conversation's screen needs to name it. */
  load(conversationId: string): void {
    if (this.#asked.has(conversationId)) return;
    this.#asked.add(conversationId);
    const loading = isGroup(conversationId) ? this.#loadGroup(conversationId) : this.#loadPeer(conversationId);
    loading.then(
      () => this.#gone.delete(conversationId),
      (error: unknown) => {
        this.#asked.delete(conversationId);
        if (!["RESOURCE_NOT_FOUND", "PERMISSION_DENIED", "VALIDATION_ERROR"].includes(codeOf(error))) return;
        this.#gone.add(conversationId);
        this.#changed();
      },
    );
  }

  async #loadPeer(conversationId: string): Promise<void> {
    const recipientId = peerOf(conversationId, this.userId);
    if (!recipientId || this.#persons.has(recipientId)) return;
    const { recipient } = await this.#client.request("start_conversation", { recipientId });
    this.add(recipient);
  }

  async #loadGroup(groupId: string): Promise<void> {
    const [info, { members }] = await Promise.all([
      this.#client.request("get_group_info", { groupId }),
      this.#client.request("get_group_members", { groupId }),
    ]);
    this.#seen(members);
    for (const member of members) this.#persons.set(member.userId, member);
    this.#groups.set(groupId, {
      groupName: info.groupName,
      groupDescription: info.groupDescription ?? "",
      members: members as Member[],
    });
    this.#changed();
  }

  /** Call it after a change of the user's own, whose event may not come back to this connection. */
  reload(groupId: string): void {
    this.#asked.delete(groupId);
    if (this.#groups.has(groupId)) this.load(groupId);
  }

  #seen(persons: readonly Pick<Person, "userId" | "online">[]): void {
    const news = persons.filter(({ userId, online }) => online !== undefined && this.#online.get(userId) !== online);
    for (const { userId, online = false } of news) this.#online.set(userId, online);
    if (news.length > 0) this.#changed();
  }

  #changed(): void {
    this.#revision++;
    for (const listener of this.#listeners) listener();
  }
}

/** The people known so far; renders again when there are more. */
export function usePeople(): People {
  const { people } = useSignedIn();
  useSyncExternalStore(people.subscribe, people.revision);
  return people;
}
