// Clients that talk for a long time while gateways and workers are killed at random; then each one's state is compared with that of
// a client that was never there before. `MINUTES=60 CLIENTS=50 npm run soak`; docs/sdk.md says what was seen.
import { expect, test } from "vitest";
import { type ChatMessage, type ChatStore, createStore } from "../../src/store";
import type { Message } from "../../src/index";
import { seeded } from "../clock";
import { Fleet, pause, until } from "./fleet";
import { Person } from "./person";
import { Proxy } from "./proxy";

const MINUTES = Number(process.env["MINUTES"] ?? 10);
const CLIENTS = Number(process.env["CLIENTS"] ?? 20);
const SEED = Number(process.env["SEED"] ?? 17);
const GROUP_SIZE = 5;
const SETTLED_WITHIN_MS = 120_000;
const random = seeded(SEED);

interface Member {
  person: Person;
  /** Holds every message that it has been shown. */
  store: ChatStore;
  groupId: string;
  /** Of the group, in the order of arrival. */
  seqs: number[];
  states: number;
  sent: number;
}

function heapMb(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Math.round(process.memoryUsage().heapUsed / 100_000) / 10;
}

/** What a user is shown of a message. */
function shown({ seq, content, senderId, isEdited, reactions = [] }: ChatMessage | Message) {
  return { seq, content, senderId, isEdited, reactions: reactions.map(({ userId, reaction }) => `${userId} ${reaction}`).sort() };
}

async function enter(url: string, person: Person, groupId: string): Promise<Member> {
  const member: Member = { person, store: createStore(person.client), groupId, seqs: [], states: 0, sent: 0 };
  // Counts only, so that what grows is the client's.
  person.messages.set = () => person.messages;
  person.client.on("state", () => void member.states++);
  person.client.on("message", ({ conversationId, seq }) => {
    if (conversationId === groupId) member.seqs.push(seq);
  });
  await person.online(60_000);
  return member;
}

/** Returns how many messages it sent. */
function act({ store, groupId }: Member, text: string): number {
  const { messages } = store.messages(groupId).getSnapshot();
  const dice = random();
  const stored = messages.filter(({ status }) => status === "sent");
  const own = stored.findLast(({ isOwn }) => isOwn);
  const other = stored.findLast(({ isOwn }) => !isOwn);
  // A connection that is lost before the answer rejects these; what they did is compared in the end.
  if (dice < 0.1 && own) void store.edit(own, `${own.content}.`).catch(() => {});
  else if (dice < 0.2 && other) void store.react(other, "👍").catch(() => {});
  else if (dice < 0.25) store.markRead(groupId);
  else {
    store.send(groupId, text);
    return 1;
  }
  return 0;
}

test(`${CLIENTS} clients for ${MINUTES} minutes`, { timeout: (MINUTES + 10) * 60_000 }, async () => {
  const fleet = await Fleet.start({ workers: 2 });
  const unhandled: unknown[] = [];
  process.on("unhandledRejection", (error) => unhandled.push(error));
  const proxy = await Proxy.open(fleet.ports, random);
  const users = [];
  for (let index = 0; index < CLIENTS; index++) users.push(await fleet.register(`soak${index}`));
  const members: Member[] = [];
  for (let first = 0; first < CLIENTS; first += GROUP_SIZE) {
    const together = users.slice(first, first + GROUP_SIZE);
    const people = together.map((user) => new Person(user, proxy.url, () => user.token));
    const owner = people[0] as Person;
    await owner.online();
    const initialMembers = together.slice(1).map(({ userId }) => userId);
    const { groupId } = await owner.client.request("create_group", { groupName: `group ${first}`, initialMembers });
    for (const person of people) members.push(await enter(proxy.url, person, groupId));
  }
  for (const { store, groupId } of members) store.messages(groupId).subscribe(() => {});
  const isLoaded = ({ store, groupId }: Member) => store.messages(groupId).getSnapshot().status === "ready";
  await until("all windows are loaded", () => members.every(isLoaded));

  const end = Date.now() + MINUTES * 60_000;
  const heap = [heapMb()];
  const kills = { gateway: 0, worker: 0 };
  const killing = (async () => {
    while (Date.now() < end) {
      await pause(8_000 + random() * 8_000);
      const program = fleet.all[Math.floor(random() * fleet.all.length)];
      if (!program || Date.now() > end) break;
      kills[program.name]++;
      await program.kill();
      await pause(random() * 3_000);
      await program.start();
    }
  })();
  const measuring = (async () => {
    for (let minute = 1; minute <= MINUTES; minute++) {
      await pause(Math.max(0, end - (MINUTES - minute) * 60_000 - Date.now()));
      heap.push(heapMb());
      const sent = members.reduce((sum, { sent }) => sum + sent, 0);
      console.info(`minute ${minute}: heap ${heap.at(-1)} MB, ${sent} sent`);
    }
  })();
  const talking = members.map(async (member, index) => {
    for (let turn = 0; Date.now() < end; turn++) {
      member.sent += act(member, `${index} ${turn}`);
      await pause(500 + random() * 1_000);
    }
  });
  await Promise.all([...talking, killing, measuring]);

  await until("all outboxes are empty", () => members.every(({ person }) => person.client.outbox.length === 0), SETTLED_WITHIN_MS);
  await until("all are online", () => members.every(({ person }) => person.client.state.name === "online"), SETTLED_WITHIN_MS);
  let stored = 0;
  const received = members.reduce((sum, { seqs }) => sum + seqs.length, 0);
  const states = members.reduce((sum, { states }) => sum + states, 0);
  for (const member of members) {
    const { person, store, groupId, seqs } = member;
    const fresh = new Person(person.user, proxy.url, () => fleet.token(person.user, 3_600));
    await fresh.online();
    const all: Message[] = [];
    for (let hasMore = true; hasMore; ) {
      const page = await fresh.client.history(groupId, { limit: 200, beforeSeq: all[0]?.seq });
      all.unshift(...page.messages);
      hasMore = page.hasBefore;
    }
    const last = all.at(-1)?.seq ?? 0;
    await until(`${person.user.username} has all`, () => seqs.at(-1) === last);
    const mine = all.filter(({ senderId }) => senderId === person.user.userId);
    expect(mine.length, "stored as often as sent").toBe(member.sent);
    expect(seqs, "every message once, in order").toEqual(all.filter(({ seq }) => seq >= (seqs[0] ?? 0)).map(({ seq }) => seq));
    expect(seqs[0]).toBe(all.find(({ content }) => /^\d/.test(content))?.seq);
    const window = () => store.messages(groupId).getSnapshot().messages.map(shown);
    await expect.poll(window, { timeout: 30_000 }).toEqual(all.map(shown).slice(-window().length));
    const other = createStore(fresh.client);
    const entry = (one: ChatStore) => one.inbox.getSnapshot().entries.find(({ conversationId }) => conversationId === groupId);
    await other.refresh();
    const counts = (one: ChatStore) => [entry(one)?.unreadCount, entry(one)?.lastSeq];
    await expect.poll(() => counts(store)).toEqual(counts(other));
    stored += mine.length;
    other.close();
    fresh.client.close();
  }
  expect(unhandled).toEqual([]);
  const run = { clients: CLIENTS, minutes: MINUTES, seed: SEED };
  console.info(JSON.stringify({ ...run, stored, received, kills, connections: proxy.opened, states, heap }));
  for (const { person, store } of members) {
    store.close();
    person.client.close();
  }
  proxy.close();
  await fleet.stop();
});
