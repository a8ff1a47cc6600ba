// Random faults against a model: nothing is lost or doubled, the order is that of `seq`, and the state ends as
// that of a client that has just started.
import { expect, test } from "vitest";
import { type Change, ChatClient, type Message, type Persistence, type Saved } from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME, PEER } from "./server";

const SCHEDULES = 1_000;
const STEPS = 40;
const CONVERSATIONS = [`conv_${ME}_${PEER}`, "group_a"];

/** A disk: what the application and the client wrote before the tab died. */
class Disk implements Persistence {
  positions = new Map<string, { seq: number; version?: number | undefined }>();
  seen: string[] = [];
  outbox = new Map<string, Saved["outbox"][number]>();
  messages = new Map<string, Map<number, Message>>();
  /** What arrived doubled or out of order. */
  faults: string[] = [];

  load = async (): Promise<Saved> =>
    structuredClone({
      positions: Object.fromEntries(this.positions),
      seen: this.seen,
      outbox: [...this.outbox.values()],
    });

  save = async (change: Change): Promise<void> => {
    for (const [id, position] of Object.entries(change.positions ?? {})) this.positions.set(id, position);
    this.seen = change.seen ?? this.seen;
    for (const id of change.gone ?? []) this.positions.delete(id);
    if (change.put) this.outbox.set(change.put.clientMessageId, structuredClone(change.put));
    if (change.remove) this.outbox.delete(change.remove);
  };
}

/** A tab: a client and an application that keeps what it receives. */
class Tab {
  readonly client: ChatClient;
  readonly #arrived = new Map<string, number>();

  constructor(
    server: FakeServer,
    private readonly disk: Disk,
    random: () => number,
  ) {
    this.client = new ChatClient({
      url: "ws://fake",
      getToken: () => "token",
      persist: {
        load: disk.load,
        save: (change) => (this.isDead ? Promise.reject(new Error("dead")) : disk.save(change)),
      },
      WebSocket: server.constructorOfSockets,
      clock: server.clock,
      random,
    });
    this.client.on("message", (message) => this.#add(message));
    this.client.on("changes", ({ conversationId, changed = [], deleted = [] }) => {
      const messages = this.#messages(conversationId);
      for (const message of changed) messages.set(message.seq, message);
      for (const { seq } of deleted) messages.delete(seq);
    });
    this.client.on("message_edited", (event) => this.#edit(event.conversationId, event));
    this.client.on("group_message_edited", (event) => this.#edit(event.groupId, event));
    this.client.on("message_deleted", (event) => this.#delete(event.conversationId, event));
    this.client.on("group_message_deleted", (event) => this.#delete(event.groupId, event));
    // Messages beyond the saved position may have been deleted since; if not, `sync` brings them again.
    for (const [id, messages] of disk.messages) {
      const { seq } = disk.positions.get(id) ?? { seq: 0 };
      for (const held of [...messages.keys()]) if (held > seq) messages.delete(held);
    }
    void this.client.start().then(() => {
      for (const id of CONVERSATIONS) this.client.track(id, { seq: 0 });
    });
  }

  isDead = false;

  /** Without a chance to close. */
  die(): void {
    this.isDead = true;
    this.client.close();
  }

  #messages(id: string): Map<number, Message> {
    let messages = this.disk.messages.get(id);
    if (!messages) this.disk.messages.set(id, (messages = new Map()));
    return messages;
  }

  #add(message: Message): void {
    if (this.isDead) return;
    const last = this.#arrived.get(message.conversationId) ?? 0;
    // An exception would only be logged.
    if (message.seq <= last) this.disk.faults.push(`${message.conversationId}: ${message.seq} after ${last}`);
    this.#arrived.set(message.conversationId, message.seq);
    this.#messages(message.conversationId).set(message.seq, message);
  }

  #edit(id: string, event: { messageId: string; content: string }): void {
    for (const message of this.#messages(id).values()) {
      if (message.messageId === event.messageId) Object.assign(message, { content: event.content, isEdited: true });
    }
  }

  #delete(id: string, event: { messageId: string }): void {
    const messages = this.#messages(id);
    for (const message of messages.values()) if (message.messageId === event.messageId) messages.delete(message.seq);
  }
}

async function schedule(seed: number, versions: boolean): Promise<void> {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const clock = new FakeClock();
  const server = new FakeServer(clock, random, versions);
  const disk = new Disk();
  let tab = new Tab(server, disk, random);
  const sent: string[] = [];
  server.faults = { lose: 0.15, double: 0.15, delay: 300, busy: 0.05 };
  // Both ends know the conversations from their first message on.
  for (const id of CONVERSATIONS) server.store(id, PEER, "first");
  await clock.advance(2_000);

  for (let step = 0; step < STEPS; step++) {
    const id = pick(CONVERSATIONS);
    const seq = 1 + Math.floor(random() * server.conversation(id).seq);
    const action = random();
    if (action < 0.3) server.store(id, PEER, `from the peer ${step}`);
    else if (action < 0.5) {
      const to = id.startsWith("group_") ? { groupId: id } : { recipientId: PEER };
      const content = `mine ${step}`;
      tab.client.send(to, content);
      await clock.advance(0);
      sent.push(content);
    } else if (action < 0.6) server.edit(id, seq, `edited ${step}`);
    else if (action < 0.65) server.delete(id, seq);
    else if (action < 0.7) server.store(id, ME, `from my other device ${step}`);
    else if (action < 0.78) server.closeAll(pick([1000, 1001, 1006, 1011, 1012, 1013]));
    else if (action < 0.83) for (const socket of server.sockets) socket.isDead = true;
    else if (action < 0.88) clock.jump(pick([5_000, 60_000, 3_600_000]));
    else if (action < 0.93) {
      tab.die();
      server.closeAll(1006);
      tab = new Tab(server, disk, random);
    } else if (action < 0.96) tab.client.wake();
    await clock.advance(Math.floor(random() * 3_000));
  }

  // The faults end; what was published and lost last is found by the next login.
  server.faults = { lose: 0, double: 0, delay: 10, busy: 0 };
  await clock.advance(200_000);
  server.closeAll(1012);
  await clock.advance(60_000);

  expect(disk.faults).toEqual([]);
  expect(tab.client.state.name).toBe("online");
  expect(tab.client.outbox).toEqual([]);
  const contents = [...server.conversations.values()].flatMap((one) => [...one.messages.values()]);
  for (const [id, { messages }] of server.conversations) {
    const view = (all: Iterable<Message>) =>
      [...all].map(({ seq, messageId, content }) => ({ seq, messageId, content })).sort((a, b) => a.seq - b.seq);
    expect(view(disk.messages.get(id)?.values() ?? []), `state of ${id}`).toEqual(view(messages.values()));
  }
  // Each message of the client was stored once; some were edited or deleted since.
  for (const content of sent) {
    expect(contents.filter((message) => message.content === content).length).toBeLessThanOrEqual(1);
  }
  expect(server.sent.size).toBe(sent.length);
  tab.client.close();
  await clock.advance(0);
}

const [first, count] = [Number(process.env.SEED ?? 1), Number(process.env.SCHEDULES ?? SCHEDULES)];

test.each([true, false])("random faults lose, double and reorder nothing (versions: %s)", { timeout: 300_000 }, async (versions) => {
  for (let seed = first; seed < first + count; seed++) {
    await schedule(seed, versions).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`, { cause: error });
    });
  }
});
