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
  epoch: string | undefined;
  positions = new Map<string, { seq: number; version?: number | undefined }>();
  seen: string[] = [];
  outbox = new Map<string, Saved["outbox"][number]>();
  messages = new Map<string, Map<number, Message>>();
  /** Conversations that the application dropped and has not loaded again. */
  dropped = new Set<string>();
  /** Contents of all messages that were ever queued. */
  queued = new Set<string>();
  /** How long the application's writes take at most, and how many of them fail. */
  slow = 0;
  failing = 0;
  /** What arrived doubled or out of order. */
  faults: string[] = [];

  load = async (): Promise<Saved> =>
    structuredClone({
      epoch: this.epoch,
      positions: Object.fromEntries(this.positions),
      seen: this.seen,
      outbox: [...this.outbox.values()],
    });

  save = async (change: Change): Promise<void> => {
    for (const [id, position] of Object.entries(change.positions ?? {})) this.positions.set(id, position);
    this.epoch = change.epoch ?? this.epoch;
    this.seen = change.seen ?? this.seen;
    for (const id of change.gone ?? []) this.positions.delete(id);
    if (change.put) {
      this.outbox.set(change.put.clientMessageId, structuredClone(change.put));
      this.queued.add(change.put.content);
    }
    if (change.remove) this.outbox.delete(change.remove);
  };
}

/** A tab: a client and an application that keeps what it receives. */
class Tab {
  readonly client: ChatClient;
  readonly #arrived = new Map<string, number>();
  /** What changes rows waits for all writes before it; new rows are written side by side. */
  #changed: Promise<unknown> = Promise.resolve();
  #written: Promise<unknown> = Promise.resolve();
  isDead = false;
  hasFailed = false;

  constructor(
    private readonly server: FakeServer,
    private readonly disk: Disk,
    private readonly random: () => number,
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
    this.client.on("changes", ({ conversationId: id, stale, changed = [], deleted = [] }) => {
      if (stale) return this.#reload(id);
      return this.#write(() => {
        const messages = this.#messages(id);
        for (const message of changed) messages.set(message.seq, message);
        for (const { seq } of deleted) messages.delete(seq);
      });
    });
    this.client.on("message_edited", (event) => this.#edit(event.conversationId, event));
    this.client.on("group_message_edited", (event) => this.#edit(event.groupId, event));
    this.client.on("message_deleted", (event) => this.#delete(event.conversationId, event));
    this.client.on("group_message_deleted", (event) => this.#delete(event.groupId, event));
    void this.client.start().then(() => this.#begin());
  }

  /** What is held beyond the saved position may have been deleted since; `sync` brings it again if not. */
  #begin(): void {
    for (const id of CONVERSATIONS) {
      const { seq } = this.client.position(id) ?? { seq: 0 };
      const messages = this.#messages(id);
      for (const held of [...messages.keys()]) if (held > seq) messages.delete(held);
      if (this.disk.dropped.has(id)) void this.#load(id);
      else this.client.track(id, { seq: 0 });
    }
  }

  /** Without any chance to say goodbye. */
  die(): void {
    this.isDead = true;
    this.client.close();
  }

  /** Writes take a while, and may fail. What is not written when the tab dies never is. */
  #write(run: () => void, isNewRow = false): Promise<void> | void {
    const { clock } = this.server;
    if (this.isDead) return;
    if (this.disk.slow === 0) return run();
    const turn = (isNewRow ? this.#changed : this.#written).then(async () => {
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, this.random() * this.disk.slow));
      if (this.isDead) return new Promise<void>(() => {});
      if (this.random() < this.disk.failing) throw new Error("the disk is full");
      run();
    });
    this.#written = Promise.all([this.#written, turn.catch(() => (this.hasFailed = true))]);
    if (!isNewRow) this.#changed = this.#written;
    return turn;
  }

  #messages(id: string): Map<number, Message> {
    let messages = this.disk.messages.get(id);
    if (!messages) this.disk.messages.set(id, (messages = new Map()));
    return messages;
  }

  #add(message: Message): Promise<void> | void {
    if (this.isDead) return;
    const last = this.#arrived.get(message.conversationId) ?? 0;
    // An exception would only be logged.
    if (message.seq <= last) this.disk.faults.push(`${message.conversationId}: ${message.seq} after ${last}`);
    this.#arrived.set(message.conversationId, message.seq);
    return this.#write(() => void this.#messages(message.conversationId).set(message.seq, message), true);
  }

  /** Either from a page, or all of it once more. */
  #reload(id: string): Promise<void> | void {
    if (this.isDead) return;
    this.#arrived.delete(id);
    const byPage = this.random() < 0.5;
    const written = this.#write(() => {
      this.#messages(id).clear();
      if (byPage) this.disk.dropped.add(id);
    });
    if (byPage) void this.#load(id);
    else this.client.track(id, { seq: 0 });
    return written;
  }

  async #load(id: string): Promise<void> {
    for (;;) {
      try {
        const { messages } = await this.client.history(id, { limit: 200 });
        const last = messages.at(-1)?.seq ?? 0;
        return await this.#write(() => {
          const held = this.#messages(id);
          for (const seq of [...held.keys()]) if (seq <= last) held.delete(seq);
          for (const message of messages) held.set(message.seq, message);
          this.disk.dropped.delete(id);
        });
      } catch {
        if (this.isDead) return;
        await new Promise<void>((resolve) => void this.server.clock.setTimeout(resolve, 1_000));
      }
    }
  }

  #edit(id: string, event: { messageId: string; content: string }): Promise<void> | void {
    return this.#write(() => {
      for (const message of this.#messages(id).values()) {
        if (message.messageId === event.messageId) Object.assign(message, { content: event.content, isEdited: true });
      }
    });
  }

  #delete(id: string, event: { messageId: string }): Promise<void> | void {
    return this.#write(() => {
      const messages = this.#messages(id);
      for (const message of messages.values()) if (message.messageId === event.messageId) messages.delete(message.seq);
    });
  }
}

async function schedule(seed: number, { versions, restores = false }: { versions: boolean; restores?: boolean }): Promise<void> {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const clock = new FakeClock();
  const server = new FakeServer(clock, random, versions);
  const disk = new Disk();
  let tab = new Tab(server, disk, random);
  /** Messages of one's own that were stored, and that a restore lost. */
  const lost = new Set<string>();
  let epochs = 0;
  if (restores) server.epoch = "epoch 0";
  [disk.slow, disk.failing] = pick([[0, 0], [0, 0], [700, 0], [700, 0.05]] as const);
  server.faults = { lose: 0.15, double: 0.15, delay: 300, busy: 0.05 };
  // Both ends know the conversations from their first message on.
  for (const id of CONVERSATIONS) server.store(id, PEER, "first");
  let restore = server.backup();
  const goBack = () => {
    const stored = [...server.sent.keys()];
    restore();
    for (const id of stored) if (!server.sent.has(id)) lost.add(id);
    server.epoch = `epoch ${++epochs}`;
    clock.setTimeout(() => server.announceEpoch(), random() * 3_000);
  };
  await clock.advance(2_000);

  for (let step = 0; step < STEPS; step++) {
    const id = pick(CONVERSATIONS);
    const seq = 1 + Math.floor(random() * server.conversation(id).seq);
    const action = random();
    if (action < 0.3) server.store(id, PEER, `from the peer ${step}`);
    else if (action < 0.5) {
      const to = id.startsWith("group_") ? { groupId: id } : { recipientId: PEER };
      tab.client.send(to, `mine ${step}`);
      await clock.advance(0);
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
    } else if (action < 0.95) tab.client.wake();
    else if (restores && action < 0.965) restore = server.backup();
    else if (restores && action < 0.985) goBack();
    await clock.advance(Math.floor(random() * 3_000));
  }

  // The faults end; what was published and lost last is found by the next login.
  server.faults = { lose: 0, double: 0, delay: 10, busy: 0 };
  await clock.advance(200_000);
  server.closeAll(1012);
  await clock.advance(60_000);
  // What the application could not write comes again after the next start.
  if (tab.hasFailed) {
    disk.failing = 0;
    tab.die();
    tab = new Tab(server, disk, random);
    await clock.advance(60_000);
  }

  expect(disk.faults).toEqual([]);
  expect(tab.client.state.name).toBe("online");
  expect(tab.client.outbox).toEqual([]);
  const contents = [...server.conversations.values()].flatMap((one) => [...one.messages.values()]);
  for (const [id, { messages }] of server.conversations) {
    const view = (all: Iterable<Message>) =>
      [...all].map(({ seq, messageId, content }) => ({ seq, messageId, content })).sort((a, b) => a.seq - b.seq);
    expect(view(disk.messages.get(id)?.values() ?? []), `state of ${id}`).toEqual(view(messages.values()));
  }
  // Each of one's own messages was stored once; some were edited or deleted since, or lost by a restore after that.
  for (const content of disk.queued) {
    expect(contents.filter((message) => message.content === content).length).toBeLessThanOrEqual(1);
  }
  for (const id of server.sent.keys()) lost.delete(id);
  expect(server.sent.size + lost.size).toBe(disk.queued.size);
  tab.client.close();
  await clock.advance(0);
}

const [first, count] = [Number(process.env.SEED ?? 1), Number(process.env.SCHEDULES ?? SCHEDULES)];

test.each([
  { versions: true },
  { versions: false },
  { versions: true, restores: true },
])("random faults lose, double and reorder nothing: $versions, $restores", { timeout: 300_000 }, async (kind) => {
  for (let seed = first; seed < first + count; seed++) {
    await schedule(seed, kind).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`, { cause: error });
    });
  }
});
