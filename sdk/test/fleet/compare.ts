// This client beside others through the same proxy, which breaks all connections and refuses new ones for 2 s, again and again.
// `npm run compare`; docs/sdk.md has the table.
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";
import { Fleet, pause } from "./fleet";
import { centrifuge, socketIo } from "./others";
import { Person } from "./person";
import { Proxy } from "./proxy";

/** One side of a conversation. */
export interface End {
  isOnline(): boolean;
  send(content: string): void;
  onMessage(handle: (content: string) => void): void;
  close(): void;
}

export interface Contestant {
  name: string;
  /** The ports of its servers. */
  ports: number[];
  /** Connects through the proxy's port. */
  enter(proxy: number): Promise<End>;
  close(): Promise<void>;
}

const MESSAGES = 600;
const EVERY_MS = 100;
const OUTAGE_MS = 2_000;
/** Longer than the 10 s online after which this client considers a connection stable. */
const BETWEEN_OUTAGES_MS = 15_000;
const QUIET_AFTER_MS = 15_000;

async function ours(): Promise<Contestant> {
  const fleet = await Fleet.start();
  const users = [await fleet.register("sender"), await fleet.register("receiver")];
  const enter = async (proxy: number): Promise<End> => {
    const [user, peer] = users;
    if (!user || !peer) throw new Error("Both are there");
    users.reverse();
    const person = new Person(user, `ws://127.0.0.1:${proxy}/ws`);
    await person.online();
    return {
      isOnline: () => person.client.state.name === "online",
      send: (content) => void person.client.send({ recipientId: peer.userId }, content),
      onMessage: (handle) => void person.client.on("message", ({ content }) => handle(content)),
      close: () => person.client.close(),
    };
  };
  return { name: "@elitescore/chat", ports: fleet.ports, enter, close: () => fleet.stop() };
}

async function measure({ name, ports, enter, close }: Contestant) {
  const proxy = await Proxy.open(ports);
  const sender = await enter(proxy.port);
  const receiver = await enter(proxy.port);
  const received: number[] = [];
  receiver.onMessage((content) => received.push(Number(content)));
  const reconnects: number[] = [];
  let isOver = false;
  const network = (async () => {
    while (!isOver) {
      await pause(BETWEEN_OUTAGES_MS - OUTAGE_MS);
      if (isOver) break;
      proxy.outage(OUTAGE_MS);
      await pause(OUTAGE_MS);
      const back = Date.now();
      const isBack = async (end: End) => {
        while (!end.isOnline()) await pause(5);
        reconnects.push(Date.now() - back);
      };
      await Promise.all([isBack(sender), isBack(receiver)]);
    }
  })();
  for (let number = 0; number < MESSAGES; number++) {
    sender.send(String(number));
    await pause(EVERY_MS);
  }
  isOver = true;
  await network;
  await pause(QUIET_AFTER_MS);
  for (const end of [sender, receiver]) end.close();
  proxy.close();
  await close();
  const distinct = new Set(received);
  const sorted = reconnects.sort((a, b) => a - b);
  return {
    name,
    outages: reconnects.length / 2,
    lost: MESSAGES - distinct.size,
    doubled: received.length - distinct.size,
    outOfOrder: received.filter((number, place) => place > 0 && number < (received[place - 1] as number)).length,
    reconnectMedianMs: sorted[Math.floor(sorted.length / 2)],
    reconnectMaxMs: sorted.at(-1),
  };
}

/** Minified, gzip, with everything that it needs in a browser. */
async function size(entry: string): Promise<number> {
  const output = (await build({
    configFile: false,
    logLevel: "silent",
    build: { write: false, minify: false, target: "es2022", lib: { entry, formats: ["es"] }, rolldownOptions: { output: { minify: true } } },
  })) as unknown as { output: { code: string }[] }[];
  return (output[0]?.output ?? []).reduce((sum, chunk) => sum + gzipSync(chunk.code, { level: 9 }).length, 0);
}

test("the others and this one through the same proxy", { timeout: 600_000 }, async () => {
  const sizes = {
    "@elitescore/chat": await size("src/index.ts"),
    "socket.io-client": await size("node_modules/socket.io-client/build/esm/index.js"),
    centrifuge: await size("node_modules/centrifuge/build/index.js"),
  };
  console.info(JSON.stringify(sizes));
  const results = [];
  for (const make of [ours, () => socketIo(false), () => socketIo(true), centrifuge]) {
    const result = await measure(await make());
    console.info(JSON.stringify(result));
    results.push(result);
  }
  expect(results[0]).toMatchObject({ lost: 0, doubled: 0, outOfOrder: 0 });
});
