// What a backend sends and repeats, with a `fetch` that fails like networks and servers.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ChatError, serverApi } from "../src/server";

interface Call {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: unknown;
}

const KEY = "ck_test_secret";
let calls: Call[] = [];

/** Answers one request after the other. */
function answering(...answers: (Response | Error)[]) {
  calls = [];
  const fetch = async (url: string, { method, headers, body }: RequestInit) => {
    const answer = answers[calls.length] ?? answers.at(-1);
    calls.push({
      url,
      method: method ?? "",
      headers: headers as Record<string, string>,
      body: body === undefined ? undefined : JSON.parse(body as string),
    });
    if (!answer || answer instanceof Error) throw answer;
    return answer.clone();
  };
  return serverApi({ url: "https://chat.example.org/", apiKey: KEY, fetch: fetch as typeof globalThis.fetch });
}

const ok = (fields: object) => Response.json({ status: "ok", ...fields });
const failed = (status: number, fields: object) => Response.json({ status: "error", message: "no", ...fields }, { status });

/** What a promise rejects with, while the clock runs on. */
async function rejection(promise: Promise<unknown>): Promise<ChatError> {
  const error = promise.then(
    () => expect.fail("it resolved"),
    (error: ChatError) => error,
  );
  await vi.advanceTimersByTimeAsync(300_000);
  return error;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a command goes to its endpoint, with the user and the ids in the path", async () => {
  const api = answering(ok({ groupId: "group_1" }));
  await api.as(7).call("remove_group_member", { groupId: "group_1", userId: "a/b" });
  expect(calls[0]).toMatchObject({ method: "DELETE", body: undefined });
  expect(calls[0]?.url).toBe("https://chat.example.org/api/server/v1/users/7/groups/group_1/members/a%2Fb");
  expect(calls[0]?.headers["authorization"]).toBe(`Bearer ${KEY}`);

  await api.as("7").call("get_group_messages", { groupId: "group_1", limit: 5, beforeSeq: undefined as never });
  expect(calls[1]).toMatchObject({ method: "GET", body: undefined });
  expect(calls[1]?.url).toBe("https://chat.example.org/api/server/v1/users/7/group-messages?groupId=group_1&limit=5");

  await api.as("7").sendAsSystem({ groupId: "group_1", content: "hello" });
  expect(calls[2]).toMatchObject({ method: "POST", body: { groupId: "group_1", content: "hello", kind: "system" } });
  expect(calls[2]?.url).toBe("https://chat.example.org/api/server/v1/users/7/group-messages");
});

test("repetitions have the key of the first attempt, and other calls another", async () => {
  const api = answering(new TypeError("fetch failed"), failed(503, { code: "SERVICE_UNAVAILABLE", retryAfter: 2 }), ok({ seq: 1 }));
  const send = () => api.as("7").call("send_private_message", { recipientId: "8", content: "hi" });
  const sent = send();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await sent).toMatchObject({ seq: 1 });
  const second = send();
  await second;
  const keys = calls.map(({ headers }) => headers["idempotency-key"]);
  expect(keys).toHaveLength(4);
  expect(new Set(keys.slice(0, 3)).size).toBe(1);
  expect(keys[3]).not.toBe(keys[0]);
  await api.as("7").call("send_private_message", { recipientId: "8", content: "hi" }, { idempotencyKey: "order-1" });
  expect(calls.at(-1)?.headers["idempotency-key"]).toBe("order-1");
});

test("errors that a repetition would not change are reported at once", async () => {
  const api = answering(failed(403, { code: "USER_BLOCKED", field: "recipientId" }));
  const error = await rejection(api.as("7").call("send_private_message", { recipientId: "8", content: "secret text" }));
  expect(calls).toHaveLength(1);
  expect(error).toMatchObject({ name: "ChatError", code: "USER_BLOCKED", server: { field: "recipientId" } });
  expect(JSON.stringify([error, error.message, error.stack])).not.toMatch(/secret/);
});

test("a server that stays unavailable is an error after the last attempt", async () => {
  const api = answering(new TypeError("fetch failed"));
  expect(await rejection(api.presence(["1"]))).toMatchObject({ code: "CONNECTION_LOST" });
  expect(calls).toHaveLength(4);
  const proxy = answering(new Response("<html>Bad gateway</html>", { status: 502 }));
  expect(await rejection(proxy.presence(["1"]))).toMatchObject({ code: "CONNECTION_LOST" });
});

test("every promise ends: by its signal, or after its time", async () => {
  vi.useRealTimers();
  const hanging = (_: string, { signal }: RequestInit) =>
    new Promise<Response>((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
  const api = serverApi({ url: "http://localhost", apiKey: KEY, fetch: hanging as typeof fetch });
  const error = async (promise: Promise<unknown>) => promise.then(() => undefined, ({ code }: ChatError) => code);
  expect(await error(api.as("1").kick({ timeoutMs: 20 }))).toBe("TIMEOUT");
  expect(await error(api.as("1").kick({ signal: AbortSignal.timeout(20) }))).toBe("ABORTED");
});
