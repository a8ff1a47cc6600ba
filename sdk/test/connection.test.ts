// The reaction to every close code and error.
import { afterEach, beforeEach, expect, test } from "vitest";
import { ChatClient, type ChatError, type ClientOptions, connect, type TokenReason } from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, PEER } from "./server";

let clock: FakeClock;
let server: FakeServer;
let client: ChatClient;
let reasons: TokenReason[];
const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

function start(options: Partial<ClientOptions> = {}): ChatClient {
  client = new ChatClient({
    url: "ws://fake",
    getToken: ({ reason }) => (reasons.push(reason), `token${reasons.length}`),
    WebSocket: server.constructorOfSockets,
    clock,
    random: seeded(7),
    ...options,
  });
  void client.start();
  return client;
}

async function online(options?: Partial<ClientOptions>): Promise<ChatClient> {
  start(options);
  await clock.advance(1_000);
  expect(client.state.name).toBe("online");
  return client;
}

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer(clock, seeded(1), true);
  reasons = [];
});

afterEach(async () => {
  client.close();
  await clock.advance(0);
  expect(clock.pending, "timers left after close").toBeLessThanOrEqual(1);
  expect(unhandled).toEqual([]);
});

function wait(): number {
  expect(client.state.name).toBe("waiting");
  return client.state.name === "waiting" ? client.state.retryAt - clock.now() : 0;
}

test.each([
  [1000, 0, 500],
  [1001, 0, 500],
  [1006, 0, 500],
  [1011, 0, 500],
  [1012, 0, 5_000],
  [1013, 0, 2_000],
  [1002, 30_000, 300_000],
  [1007, 30_000, 300_000],
  [1009, 30_000, 300_000],
])("close %i reconnects after %i to %i ms", async (code, least, most) => {
  await online();
  await clock.advance(11_000);
  server.closeAll(code);
  await clock.advance(0);
  const ms = wait();
  expect(ms).toBeGreaterThanOrEqual(least);
  expect(ms).toBeLessThanOrEqual(most);
  await clock.advance(ms + 1_000);
  expect(client.state.name).toBe("online");
});

test("the delay doubles to 30 s and is reset after 10 s online", async () => {
  await online({ random: () => 0.999 });
  const delays: number[] = [];
  for (let round = 0; round < 9; round++) {
    server.closeAll(1006);
    await clock.advance(0);
    delays.push(Math.round(wait() / 1_000));
    await clock.advance(wait() + 100);
  }
  expect(delays).toEqual([0, 1, 2, 4, 8, 16, 30, 30, 30]);
  await clock.advance(11_000);
  server.closeAll(1006);
  await clock.advance(0);
  expect(wait()).toBeLessThan(500);
});

test("each second online undoes one doubling of the delay", async () => {
  await online({ random: () => 0.999 });
  const delays: number[] = [];
  for (const onlineFor of [100, 100, 100, 100, 2_500, 2_500, 2_500, 2_500]) {
    await clock.advance(onlineFor - 100);
    server.closeAll(1006);
    await clock.advance(0);
    delays.push(Math.round(wait() / 100) / 10);
    await clock.advance(wait() + 100);
  }
  expect(delays).toEqual([0.5, 1, 2, 4, 2, 1, 0.5, 0.5]);
});

test.each([90, 1])("an address over its limit waits %i s as the server says, and at least 30 s", async (retryAfter) => {
  server.refusal = { type: "error", code: "MAX_CONNECTIONS_EXCEEDED", retryAfter };
  start();
  await clock.advance(1_000);
  expect(wait()).toBeGreaterThanOrEqual(Math.max(29_000, retryAfter * 1_000 - 1_000));
  expect(wait()).toBeLessThanOrEqual(300_000);
});

test.each(["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_MISSING"])("%s asks for another token once", async (code) => {
  server.tokens.set("token1", code);
  await online();
  expect(reasons).toEqual(["initial", code === "TOKEN_EXPIRED" ? "expired" : "invalid"]);
});

test("the same token again is rejected", async () => {
  server.tokens.set("same", "TOKEN_EXPIRED");
  start({ getToken: () => "same" });
  await clock.advance(1_000);
  expect(client.state).toEqual({ name: "refused", code: "TOKEN_EXPIRED" });
  await clock.advance(600_000);
  expect(server.sockets.size).toBe(0);
});

test.each(["TOKEN_REVOKED", "USER_NOT_FOUND"])("%s is final, and the outbox is kept", async (code) => {
  server.tokens.set("token1", code);
  start();
  client.send({ recipientId: PEER }, "kept");
  await clock.advance(60_000);
  expect(client.state).toEqual({ name: "refused", code });
  expect(client.outbox.map((item) => item.content)).toEqual(["kept"]);
});

test("a session that was replaced stays closed", async () => {
  await online();
  for (const socket of server.sockets) {
    socket.onmessage?.({ data: JSON.stringify({ type: "session_conflict", message: "" }) });
  }
  await clock.advance(600_000);
  expect(client.state.name).toBe("replaced");
  expect(server.sockets.size).toBe(0);
});

test("a token is renewed on the open socket 60 s before it expires", async () => {
  const token = (minutes: number) =>
    `x.${btoa(JSON.stringify({ exp: clock.now() / 1_000 + minutes * 60 }))}.signature`;
  const tokens = [token(10), token(20)];
  await online({ getToken: ({ reason }) => (reasons.push(reason), tokens[reasons.length - 1] as string) });
  const [socket] = server.sockets;
  await clock.advance(9 * 60_000);
  expect(reasons).toEqual(["initial", "renew"]);
  expect([...server.sockets]).toEqual([socket]);
  expect(server.frames.filter((frame) => frame.type === "authenticate").length).toBe(2);
});

test("a token that never arrives leads to another attempt", async () => {
  start({ getToken: () => new Promise(() => {}) });
  await clock.advance(31_000);
  expect(["waiting", "connecting", "authenticating"]).toContain(client.state.name);
});

test("a failing getToken neither escapes nor stops the client", async () => {
  let calls = 0;
  start({ getToken: () => (++calls < 3 ? Promise.reject(new Error("offline")) : "token") });
  await clock.advance(10_000);
  expect(client.state.name).toBe("online");
});

test.each([null, undefined])("a getToken that returns %j is called again after the backoff", async (nothing) => {
  let calls = 0;
  start({ getToken: () => (++calls < 3 ? (nothing as unknown as string) : "token"), random: () => 0.999 });
  await clock.advance(100);
  expect([calls, client.state.name]).toEqual([1, "waiting"]);
  await clock.advance(10_000);
  expect([calls, client.state.name]).toEqual([3, "online"]);
});

test("an empty token is rejected, and getToken is not called in a loop", async () => {
  server.tokens.set("", "TOKEN_MISSING");
  let calls = 0;
  // The limit ends a loop that would never give the test a turn.
  start({ getToken: () => (++calls < 10 ? "" : "token") });
  await clock.advance(1_000);
  expect(client.state).toEqual({ name: "refused", code: "TOKEN_MISSING" });
  expect(calls).toBe(2);
});

test("exceptions of the application's logger and persistence do not stop the client", async () => {
  const fail = () => {
    throw new Error("mine");
  };
  await online({ logger: fail, persist: { load: fail, save: fail } });
  const { sent } = client.send({ recipientId: PEER }, "hello");
  await clock.advance(1_000);
  expect((await sent).seq).toBe(1);
});

test("a request after the end of the connection rejects with REFUSED", async () => {
  server.tokens.set("token1", "TOKEN_REVOKED");
  start();
  await clock.advance(1_000);
  await expect(client.request("get_user_groups", {})).rejects.toMatchObject({ code: "REFUSED" });
});

test("without a WebSocket the start fails at once and says what to pass", () => {
  const { WebSocket } = globalThis;
  Object.assign(globalThis, { WebSocket: undefined });
  try {
    expect(() => connect({ url: "ws://fake", getToken: () => "token" })).toThrow(/option `WebSocket`/);
    client = new ChatClient({ url: "ws://fake", getToken: () => "token" });
    expect(client.state.name, "made, as on a server").toBe("idle");
  } finally {
    Object.assign(globalThis, { WebSocket });
  }
});

test("a dead socket is noticed within 75 s of silence, and within 5 s of a wake", async () => {
  await online();
  for (const socket of server.sockets) socket.isDead = true;
  await clock.advance(90_000);
  expect(client.state.name).toBe("online");
  expect(server.sockets.size).toBe(1);
  for (const socket of server.sockets) socket.isDead = true;
  client.wake();
  await clock.advance(6_000);
  expect(client.state.name).toBe("online");
  expect([...server.sockets].some((socket) => !socket.isDead)).toBe(true);
});

test("a laptop that slept finds out at its first tick", async () => {
  await online();
  for (const socket of server.sockets) socket.isDead = true;
  clock.jump(3_600_000);
  await clock.advance(17_000);
  expect([...server.sockets].some((socket) => !socket.isDead)).toBe(true);
  expect(client.state.name).toBe("online");
});

test("a permanently rejected message fails alone and can be discarded", async () => {
  await online();
  const bad = client.send({ recipientId: PEER }, "");
  const good = client.send({ recipientId: PEER }, "good");
  await clock.advance(1_000);
  await expect(bad.sent).rejects.toMatchObject({ name: "ChatError", code: "VALIDATION_ERROR" });
  expect((await good.sent).seq).toBe(1);
  expect(client.outbox.map((item) => item.failure?.code)).toEqual(["VALIDATION_ERROR"]);
  client.discard(bad.clientMessageId);
  expect(client.outbox).toEqual([]);
});

test("a busy server gets sends again, in order, not before retryAfter", async () => {
  await online();
  server.faults = { ...server.faults, busy: 1 };
  const sent = ["a", "b", "c"].map((content) => client.send({ recipientId: PEER }, content).sent);
  await clock.advance(900);
  expect(server.frames.filter((frame) => frame.type === "send_private_message").length).toBe(1);
  server.faults = { ...server.faults, busy: 0 };
  await clock.advance(5_000);
  expect((await Promise.all(sent)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test("every promise ends: timeout, abort, loss, close", async () => {
  await online();
  const code = (promise: Promise<unknown>) => promise.then(() => "answered", (error: ChatError) => error.code);
  const abort = new AbortController();
  const ends = [
    code(client.request("get_user_groups", {}, { timeoutMs: 500 })),
    code(client.request("get_user_groups", {}, { signal: abort.signal })),
    code(client.request("leave_group", { groupId: "group_a" })),
    code(client.request("get_user_groups", {})),
  ];
  await clock.advance(600);
  abort.abort();
  server.closeAll(1006);
  await clock.advance(600);
  const unsent = code(client.send({ recipientId: PEER }, "").sent);
  const change = code(client.request("leave_group", { groupId: "group_a" }));
  client.close();
  const late = [code(client.request("get_user_groups", {})), code(client.send({ recipientId: PEER }, "x").sent)];
  await clock.advance(0);
  expect(await Promise.all(ends)).toEqual(["TIMEOUT", "ABORTED", "CONNECTION_LOST", "CLOSED"]);
  expect(await Promise.all([unsent, change, ...late])).toEqual(["CLOSED", "CLOSED", "CLOSED", "CLOSED"]);
});

test("receipt is confirmed only after the handlers' promises", async () => {
  await online();
  let release = () => {};
  client.on("message", () => new Promise<void>((resolve) => (release = resolve)));
  server.store("conv_1_2", PEER, "hello");
  await clock.advance(5_000);
  expect(server.delivered.get("conv_1_2")).toBeUndefined();
  release();
  await clock.advance(1_000);
  expect(server.delivered.get("conv_1_2")).toBe(1);
});

test("no error and no log line contains a token or a message", async () => {
  const lines: string[] = [];
  server.tokens.set("secret-token", "TOKEN_EXPIRED");
  start({ getToken: () => "secret-token", logger: (...line) => lines.push(JSON.stringify(line)) });
  const { sent } = client.send({ recipientId: PEER }, "secret-content");
  await clock.advance(1_000);
  client.close();
  const error = await sent.catch((error: ChatError) => error);
  expect(JSON.stringify([lines, error, String(error)])).not.toContain("secret-");
});
