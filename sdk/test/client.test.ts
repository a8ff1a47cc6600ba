// The client as a whole: what it saves before it shows it, what it asks for when something is missing, and what wakes it.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChatClient, type ClientOptions } from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, ME, PEER } from "./server";

const DIRECT = `conv_${ME}_${PEER}`;

let clock: FakeClock;
let server: FakeServer;
let client: ChatClient;

function start(options: Partial<ClientOptions> = {}): void {
  const WebSocket = server.constructorOfSockets;
  client = new ChatClient({ url: "ws://fake", getToken: () => "token", WebSocket, clock, random: seeded(7), ...options });
  void client.start();
}

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer(clock, seeded(1), true);
});

afterEach(() => {
  client.close();
  vi.unstubAllGlobals();
});

test("a message is saved before it is shown and sent", async () => {
  let saved = () => {};
  const save = () => new Promise<void>((resolve) => (saved = resolve));
  start({ persist: { load: async () => undefined, save } });
  await clock.advance(1_000);
  const shown: string[] = [];
  client.on("outbox", ({ item }) => void shown.push(item.content));
  client.send({ recipientId: PEER }, "hello");
  await clock.advance(1_000);
  expect([shown, server.conversation(DIRECT).seq]).toEqual([[], 0]);
  saved();
  await clock.advance(1_000);
  expect([shown[0], server.conversation(DIRECT).seq]).toEqual(["hello", 1]);
});

test("a hole in the numbers leads to a sync after a second, unless it closes by itself", async () => {
  start();
  await clock.advance(1_000);
  const arrived: number[] = [];
  client.on("message", ({ seq }) => arrived.push(seq));
  const syncs = () => server.frames.filter(({ type }) => type === "sync").length;
  server.store(DIRECT, PEER, "first");
  await clock.advance(100);
  server.faults.lose = 1;
  const late = server.store(DIRECT, PEER, "second");
  server.faults.lose = 0;
  server.store(DIRECT, PEER, "third");
  await clock.advance(900);
  expect([arrived, syncs()]).toEqual([[1], 0]);
  server.publish({ ...late, type: "new_message", version: 2 });
  await clock.advance(50);
  expect(arrived).toEqual([1, 2, 3]);
  await clock.advance(1_000);
  server.faults.lose = 1;
  server.store(DIRECT, PEER, "fourth");
  server.faults.lose = 0;
  server.store(DIRECT, PEER, "fifth");
  await clock.advance(900);
  expect(arrived).toEqual([1, 2, 3]);
  await clock.advance(200);
  expect(arrived).toEqual([1, 2, 3, 4, 5]);
});

/** Counts who listens. */
class Target extends EventTarget {
  listeners = 0;
  override addEventListener(...args: Parameters<EventTarget["addEventListener"]>): void {
    this.listeners++;
    super.addEventListener(...args);
  }
  override removeEventListener(...args: Parameters<EventTarget["removeEventListener"]>): void {
    this.listeners--;
    super.removeEventListener(...args);
  }
}

test.each(["online", "pageshow", "visibilitychange"])("the browser's event %s ends a wait, and a close stops listening", async (type) => {
  const [page, document] = [new Target(), Object.assign(new Target(), { visibilityState: "hidden" })];
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  vi.stubGlobal("document", document);
  const happens = () => (type === "visibilitychange" ? document : page).dispatchEvent(new Event(type));
  start();
  await clock.advance(1_000);
  server.closeAll(1013);
  await clock.advance(0);
  expect(client.state.name).toBe("waiting");
  document.dispatchEvent(new Event("visibilitychange"));
  expect(client.state.name, "a page that was hidden").toBe("waiting");
  document.visibilityState = "visible";
  happens();
  expect(client.state.name).toBe("connecting");
  client.close();
  expect(page.listeners + document.listeners).toBe(0);
});
