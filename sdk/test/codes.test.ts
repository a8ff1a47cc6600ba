// Every code that the server can send has a reaction: a new one in the contract fails here until somebody has decided on it.
import { afterEach, beforeEach, expect, test } from "vitest";
import { AuthErrorCode, ChatClient, CloseCode, ErrorCode } from "../src/index";
import { FakeClock, seeded } from "./clock";
import { FakeServer, PEER } from "./server";

/** What happens to a send that is rejected with each code. */
const SENDS: Record<keyof typeof ErrorCode, "again" | "fails" | "five times"> = {
  AUTH_REQUIRED: "again",
  RATE_LIMIT_EXCEEDED: "again",
  SERVICE_UNAVAILABLE: "again",
  INTERNAL_ERROR: "five times",
  AUTH_FAILED: "fails",
  VALIDATION_ERROR: "fails",
  INVALID_JSON: "fails",
  UNKNOWN_TYPE: "fails",
  USER_BLOCKED: "fails",
  NOT_FOLLOWING: "fails",
  EDIT_WINDOW_EXPIRED: "fails",
  MESSAGE_REJECTED: "fails",
  PERMISSION_DENIED: "fails",
  RESOURCE_NOT_FOUND: "fails",
  GROUP_FULL: "fails",
  TOO_MANY_MEMBERS: "fails",
  OWNER_CANNOT_LEAVE: "fails",
  MAX_CONNECTIONS_EXCEEDED: "fails",
  PAYLOAD_TOO_LARGE: "fails",
  MEMBER_MUTED: "fails",
  SLOW_MODE: "fails",
  MEMBER_BANNED: "fails",
};

/** The state after `auth_error`, when `getToken` has another token. */
const LOGINS: Record<keyof typeof AuthErrorCode, "online" | "refused"> = {
  TOKEN_MISSING: "online",
  TOKEN_INVALID: "online",
  TOKEN_EXPIRED: "online",
  TOKEN_REVOKED: "refused",
  USER_NOT_FOUND: "refused",
  SERVICE_UNAVAILABLE: "online",
};

/** The longest wait for the next attempt, in seconds. */
const CLOSES: Record<keyof typeof CloseCode, number> = {
  Normal: 0.5,
  KeepAliveLost: 0.5,
  ProtocolViolation: 300,
  InvalidUtf8: 300,
  Policy: 0.5,
  MessageTooLarge: 300,
  Internal: 0.5,
  Restart: 5,
  TryLater: 2,
};

let clock: FakeClock;
let server: FakeServer;
let client: ChatClient;

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer(clock, seeded(1), true);
  let tokens = 0;
  client = new ChatClient({
    url: "ws://fake",
    getToken: () => `token${++tokens}`,
    WebSocket: server.constructorOfSockets,
    clock,
    random: () => 0.999,
  });
});

afterEach(() => client.close());

async function online(): Promise<void> {
  await client.start();
  await clock.advance(11_000);
  expect(client.state.name).toBe("online");
}

const attempts = () => server.frames.filter(({ type }) => type === "send_private_message").length;

test.each(Object.entries(SENDS))("a send that is rejected with %s: %s", async (code, reaction) => {
  await online();
  server.rejection = { type: "error", code, message: code, retryAfter: 1 };
  const { sent } = client.send({ recipientId: PEER }, "hello");
  await clock.advance(reaction === "five times" ? 15_000 : 3_000);
  if (reaction === "again") {
    expect(attempts()).toBeGreaterThan(1);
    server.rejection = undefined;
    await clock.advance(40_000);
    await expect(sent).resolves.toMatchObject({ seq: 1 });
  } else {
    await expect(sent).rejects.toMatchObject({ name: "ChatError", code });
    expect(attempts()).toBe(reaction === "fails" ? 1 : 5);
    expect(client.outbox[0]?.failure?.code).toBe(code);
  }
});

test.each(Object.keys(ErrorCode))("a request that the server rejects with %s rejects with it", async (code) => {
  await online();
  server.rejection = { type: "error", code, message: code, retryAfter: 7, field: "groupId" };
  const asked = client.request("leave_group", { groupId: "group_a" }).catch((error: unknown) => error);
  await clock.advance(1_000);
  // This code says that the session is gone: the command was not applied, and the client reconnects.
  const expected = code === "AUTH_REQUIRED" ? { code: "CONNECTION_LOST" } : { code, server: { retryAfter: 7, field: "groupId" } };
  expect(await asked).toMatchObject({ name: "ChatError", ...expected });
});

test.each(Object.entries(LOGINS))("a login that is rejected with %s ends %s", async (code, state) => {
  server.tokens.set("token1", code);
  await client.start();
  await clock.advance(5_000);
  if (code === "SERVICE_UNAVAILABLE") server.tokens.clear();
  await clock.advance(40_000);
  expect(client.state.name).toBe(state);
});

test.each(Object.entries(CLOSES))("close code %s leads to a new attempt within %d s", async (name, seconds) => {
  await online();
  server.closeAll(CloseCode[name as keyof typeof CloseCode]);
  await clock.advance(0);
  const wait = client.state.name === "waiting" ? client.state.retryAt - clock.now() : NaN;
  expect(wait).toBeLessThanOrEqual(seconds * 1_000);
  expect(wait).toBeGreaterThan(seconds === 300 ? 30_000 - 1 : 0);
  await clock.advance(wait + 1_000);
  expect(client.state.name).toBe("online");
});
