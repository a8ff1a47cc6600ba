// The client's promises, kept against real servers that crash and a network that cuts.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { ChatError } from "../../src/index";
import { type ChatMessage, type ChatStore, createStore } from "../../src/store";
import { seeded } from "../clock";
import { Fleet, pause, type User } from "./fleet";
import { Person } from "./person";
import { Proxy } from "./proxy";

let fleet: Fleet;
const proxies: Proxy[] = [];
const people: Person[] = [];
const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

beforeAll(async () => {
  fleet = await Fleet.start();
});

afterAll(() => fleet?.stop());

afterEach(() => {
  for (const person of people.splice(0)) person.client.close();
  for (const proxy of proxies.splice(0)) proxy.close();
  expect(unhandled).toEqual([]);
});

async function through(random?: () => number): Promise<Proxy> {
  const proxy = await Proxy.open(fleet.ports, random);
  proxies.push(proxy);
  return proxy;
}

function enter(...args: ConstructorParameters<typeof Person>): Person {
  const person = new Person(...args);
  people.push(person);
  return person;
}

/** Three people in a new, empty group, all online. */
async function group(url: string): Promise<{ groupId: string; members: Person[] }> {
  const users = await Promise.all(["alice", "bob", "carol"].map((name) => fleet.register(name)));
  const members = users.map((user) => enter(user, url));
  await Promise.all(members.map((member) => member.online()));
  const [owner, ...others] = members as [Person, Person, Person];
  const created = await owner.client.request("create_group", {
    groupName: "all",
    initialMembers: others.map(({ user }) => user.userId),
  });
  const { groupId } = created;
  await Promise.all(members.map((member) => member.client.history(groupId)));
  return { groupId, members };
}

/** Everybody sends this many messages, one every `everyMs`, while `meanwhile` runs; returns once all are confirmed and have arrived. */
async function talk(groupId: string, members: Person[], count: number, everyMs: number, meanwhile: () => Promise<void>): Promise<void> {
  const faults = meanwhile();
  for (let turn = 0; turn < count; turn++) {
    for (const member of members) void member.send({ groupId }, `${member.user.username} ${turn}`).catch(() => {});
    await pause(everyMs);
  }
  await faults;
  const answers = await Promise.all(members.flatMap(({ sent }) => sent));
  const last = Math.max(...answers.map(({ seq }) => seq));
  for (const member of members) {
    await expect.poll(() => member.seqs(groupId).at(-1), { timeout: 30_000, message: member.user.username }).toBe(last);
  }
}

/** Checks that nothing is lost, doubled or out of order for anybody, and that everybody sees the same as a fresh client. */
async function expectWhole(groupId: string, members: Person[], count: number, user: User): Promise<void> {
  const fresh = enter(user, `ws://127.0.0.1:${fleet.ports[1]}/ws`);
  const { messages, hasBefore } = await fresh.client.history(groupId, { limit: 200 });
  expect(hasBefore).toBe(false);
  const stored = messages.map(({ content }) => content);
  const expected = members.flatMap(({ user }) => Array.from({ length: count }, (_, turn) => `${user.username} ${turn}`));
  expect([...stored].sort()).toEqual([...expected].sort());
  for (const member of members) {
    const mine = (content: string) => content.startsWith(`${member.user.username} `);
    expect(stored.filter(mine), "the sender's order").toEqual(expected.filter(mine));
    expect(member.seqs(groupId)).toEqual(messages.map(({ seq }) => seq));
    expect(member.contents(groupId)).toEqual(stored);
  }
}

test("a gateway killed while clients send loses and doubles nothing", async () => {
  const proxy = await through();
  const { groupId, members } = await group(proxy.url);
  const connections = proxy.opened;
  const [first] = fleet.gateways;
  await talk(groupId, members, 40, 75, async () => {
    await pause(1_000);
    await first?.kill();
    await pause(1_000);
    await first?.start();
  });
  expect(proxy.opened, "somebody was on the killed gateway").toBeGreaterThan(connections);
  await expectWhole(groupId, members, 40, (members[0] as Person).user);
});

test("a worker killed while clients send loses and doubles nothing", async () => {
  const proxy = await through();
  const { groupId, members } = await group(proxy.url);
  const [worker] = fleet.workers;
  await talk(groupId, members, 30, 75, async () => {
    await pause(500);
    await worker?.kill();
    await worker?.start();
  });
  await expectWhole(groupId, members, 30, (members[0] as Person).user);
});

test("a network that delays and cuts, also inside a frame, loses and doubles nothing", async () => {
  const random = seeded(17);
  const proxy = await through(random);
  const { groupId, members } = await group(proxy.url);
  const connections = proxy.opened;
  proxy.delayMs = 150;
  await talk(groupId, members, 50, 100, async () => {
    for (let round = 0; round < 6; round++) {
      await pause(400 + random() * 500);
      if (round % 2 === 0) proxy.cut();
      else {
        proxy.isTearing = true;
        await pause(100);
        proxy.isTearing = false;
      }
    }
    proxy.outage(1_500);
  });
  expect(proxy.opened - connections, "each cut led to new connections").toBeGreaterThanOrEqual(6);
  await expectWhole(groupId, members, 50, (members[0] as Person).user);
});

test("edits, deletions and read marks made during an outage arrive after it", async () => {
  const [near, far] = [await through(), await through()];
  const users = [await fleet.register("alice"), await fleet.register("bob")] as const;
  const [alice, bob] = [enter(users[0], near.url), enter(users[1], far.url)];
  await Promise.all([alice.online(), bob.online()]);
  const { conversationId } = await alice.client.request("start_conversation", { recipientId: users[1].userId });
  const [written, shown] = [alice, bob].map(({ client }) => createStore(client)) as [ChatStore, ChatStore];
  for (const store of [written, shown]) store.messages(conversationId).subscribe(() => {});
  const list = (store: ChatStore) => store.messages(conversationId).getSnapshot();
  const contents = (store: ChatStore) => list(store).messages.map(({ content }) => content);
  await expect.poll(() => [list(written).status, list(shown).status]).toEqual(["ready", "ready"]);
  for (const content of ["first", "deleted", "kept"]) await alice.send({ recipientId: users[1].userId }, content);
  await expect.poll(() => contents(shown)).toEqual(["first", "deleted", "kept"]);
  far.isDown = true;
  far.cut();
  const [first, second] = list(written).messages as [ChatMessage, ChatMessage];
  await written.edit(first, "edited");
  await written.remove(second);
  far.isDown = false;
  await expect.poll(() => contents(shown), { timeout: 30_000 }).toEqual(["edited", "kept"]);
  expect(contents(written)).toEqual(["edited", "kept"]);
  shown.markRead(conversationId);
  await expect.poll(() => list(written).readBy.get(users[1].userId), { timeout: 10_000 }).toBe(3);
});

test("a token is renewed a minute before it expires, on the open socket", async () => {
  const user = await fleet.register("renewing");
  const proxy = await through();
  const person = enter(user, proxy.url, (reason) => fleet.token(user, reason === "initial" ? 62 : 3_600));
  await person.online();
  await expect.poll(() => person.reasons, { timeout: 10_000 }).toEqual(["initial", "renew"]);
  await person.client.request("get_user_groups", {});
  expect(person.client.state.name).toBe("online");
  expect(proxy.opened).toBe(1);
});

test("a token that expires while clients send is refreshed, and nothing is lost", async () => {
  const user = await fleet.register("expiring");
  const peer = await fleet.register("peer");
  // Shorter than the minute in which tokens are renewed, so the server closes the connection.
  const person = enter(user, (await through()).url, (reason) => fleet.token(user, reason === "initial" ? 3 : 3_600));
  await person.online();
  const until = Date.now() + 15_000;
  let count = 0;
  while (Date.now() < until && !(person.reasons.includes("expired") && person.client.state.name === "online")) {
    void person.send({ recipientId: peer.userId }, `${count++}`);
    await pause(100);
  }
  expect(person.reasons).toEqual(["initial", "expired"]);
  const answers = await Promise.all(person.sent);
  expect(answers.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, place) => place + 1));
});

test("a revoked token ends in refused, and every promise ends", async () => {
  const user = await fleet.register("revoked");
  const peer = await fleet.register("peer");
  const proxy = await through();
  const person = enter(user, proxy.url);
  await person.online();
  await fleet.post("/api/auth/logout", {}, user.token);
  await expect.poll(() => person.client.state, { timeout: 20_000 }).toEqual({ name: "refused", code: "TOKEN_REVOKED" });
  const code = (promise: Promise<unknown>) => promise.then(() => "answered", (error: ChatError) => error.code);
  const unsent = code(person.send({ recipientId: peer.userId }, "kept"));
  const asked = code(person.client.request("get_user_groups", {}));
  expect(person.client.outbox.map(({ content }) => content)).toEqual(["kept"]);
  expect(await asked).toBe("REFUSED");
  person.client.close();
  expect(await unsent).toBe("CLOSED");
  const connections = proxy.opened;
  await pause(1_000);
  expect(proxy.opened, "no further attempt").toBe(connections);
});
