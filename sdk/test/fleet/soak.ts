// Clients that talk for a long time while servers, Redis and the network fail at random; then each one's state is compared with that
// of a client that has just started. `SOAK=1 MINUTES=60 CLIENTS=50 cargo xtask test sdk`; docs/sdk.md has the results.
import { expect, test } from "vitest";
import { type ChatMessage, type ChatStore, createStore } from "../../src/store";
import type { Message } from "../../src/index";
import { seeded } from "../clock";
import { Fleet, pause, type Program, until } from "./fleet";
import { Person } from "./person";
import { Proxy } from "./proxy";

const MINUTES = Number(process.env["MINUTES"] ?? 10);
const CLIENTS = Number(process.env["CLIENTS"] ?? 20);
const SEED = Number(process.env["SEED"] ?? 17);
/** How often each client does something, on average. */
const EVERY_MS = Number(process.env["EVERY_MS"] ?? 3_000);
const GROUP_SIZE = 5;
const SETTLED_WITHIN_MS = 120_000;
const random = seeded(SEED);

interface Member {
  person: Person;
  /** Has every message that it was shown. */
  store: ChatStore;
  groupId: string;
  /** Of the group's messages that arrived: the first and the last one's `seq`, and where one was lost, doubled or out of order. */
  first: number;
  last: number;
  faults: string[];
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
  const member: Member = { person, store: createStore(person.client), groupId, first: 0, last: 0, faults: [], states: 0, sent: 0 };
  // Counts only, so that any growth is the client's.
  person.messages.set = () => person.messages;
  person.client.on("state", () => {
    member.states++;
    person.states.length = 0;
  });
  person.client.on("message", ({ conversationId, seq }) => {
    if (conversationId !== groupId) return;
    if (member.last !== 0 && seq !== member.last + 1) member.faults.push(`${seq} after ${member.last}`);
    member.first ||= seq;
    member.last = seq;
  });
  await person.online(60_000);
  return member;
}

/** Injects one fault after the other, each over before the next one; returns how many of each kind there were. */
async function fail(fleet: Fleet, proxy: Proxy, end: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const one = (programs: Program[]) => programs[Math.floor(random() * programs.length)] as Program;
  const again = async (program: Program, ended: Promise<void>) => {
    await ended;
    await pause(random() * 3_000);
    await program.start();
  };
  const crash = (programs: Program[]) => {
    const program = one(programs);
    return again(program, program.kill());
  };
  const deploy = async () => {
    for (const program of fleet.all) await again(program, program.terminate());
  };
  const tear = async () => {
    proxy.isTearing = true;
    await pause(1_000);
    proxy.isTearing = false;
  };
  const faults: [string, () => Promise<void> | void][] = [
    ["gateway killed", () => crash(fleet.gateways)],
    ["worker killed", () => crash(fleet.workers)],
    ["gateway frozen", () => one(fleet.gateways).freeze(2_000 + random() * 10_000)],
    ["worker frozen", () => one(fleet.workers).freeze(2_000 + random() * 10_000)],
    ["rolling deploy", deploy],
    ["Redis emptied", () => fleet.emptyRedis()],
    ["connections cut", () => proxy.cut()],
    ["connections torn", tear],
    ["network down for 2 to 7 s", () => proxy.outage(2_000 + random() * 5_000)],
  ];
  for (;;) {
    await pause(8_000 + random() * 8_000);
    if (Date.now() > end) return counts;
    const [name, run] = faults[Math.floor(random() * faults.length)] as (typeof faults)[number];
    counts[name] = (counts[name] ?? 0) + 1;
    await run();
  }
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

test(`${CLIENTS} clients for ${MINUTES} minutes`, { timeout: (MINUTES + 20) * 60_000 }, async () => {
  const fleet = await Fleet.start({ workers: 2 });
  const unhandled: unknown[] = [];
  process.on("unhandledRejection", (error) => unhandled.push(error));
  const proxy = await Proxy.open(fleet.ports, random);
  const users = [];
  for (let index = 0; index < CLIENTS; index++) {
    const user = await fleet.register(`soak${index}`);
    users.push({ ...user, token: fleet.token(user, (MINUTES + 30) * 60) });
  }
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
  const failing = fail(fleet, proxy, end);
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
      await pause(EVERY_MS * (0.5 + random()));
    }
  });
  const [faults] = await Promise.all([failing, measuring, ...talking]);

  await until("all outboxes are empty", () => members.every(({ person }) => person.client.outbox.length === 0), SETTLED_WITHIN_MS);
  await until("all are online", () => members.every(({ person }) => person.client.state.name === "online"), SETTLED_WITHIN_MS);
  let stored = 0;
  const received = members.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const states = members.reduce((sum, { states }) => sum + states, 0);
  for (const member of members) {
    const { person, store, groupId } = member;
    const fresh = new Person(person.user, proxy.url, () => fleet.token(person.user, 3_600));
    await fresh.online();
    const all: Message[] = [];
    for (let hasMore = true; hasMore; ) {
      const page = await fresh.client.history(groupId, { limit: 200, beforeSeq: all[0]?.seq });
      all.unshift(...page.messages);
      hasMore = page.hasBefore;
    }
    const last = all.at(-1)?.seq ?? 0;
    await until(`${person.user.username} has all`, () => member.last === last);
    const mine = all.filter(({ senderId }) => senderId === person.user.userId);
    expect(mine.length, "stored as often as sent").toBe(member.sent);
    expect(member.faults, "every message once, in order").toEqual([]);
    expect(member.first).toBe(all.find(({ content }) => /^\d/.test(content))?.seq);
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
  // By then the windows are full.
  if (MINUTES >= 40) {
    const quarter = (place: number) => heap.slice(Math.round((MINUTES * place) / 4), Math.round((MINUTES * (place + 1)) / 4));
    expect(Math.min(...quarter(3)), "the heap does not grow").toBeLessThan(1.1 * Math.max(...quarter(1)));
  }
  const run = { clients: CLIENTS, minutes: MINUTES, seed: SEED };
  console.info(JSON.stringify({ ...run, stored, received, faults, connections: proxy.opened, states, heap }));
  for (const { person, store } of members) {
    store.close();
    person.client.close();
  }
  proxy.close();
  await fleet.stop();
});
