// The server API for a product's backend: requests for a user, with an API key. Never use it in browsers: the key may
// do everything that its scopes allow.
import { ChatError, type ErrorDetails } from "./core/errors";
import type { Fields, RequestOptions } from "./core/requests";
import type { Answers, Commands, ErrorCode, Profile, UserId } from "./generated/protocol";
import { SERVER_ENDPOINTS } from "./generated/server-api";

export { ChatError } from "./core/errors";

/** The commands that a backend can run for a user. */
export type ServerCommand = Extract<keyof typeof SERVER_ENDPOINTS, keyof Commands>;

/** A command's answer without what belongs to a connection. */
export type ServerAnswer<K extends ServerCommand> = Fields<Answers[K]>;

/** The fields of a command. */
export type ServerFields<K extends ServerCommand> = Fields<Commands[K]>;

export interface ServerApiOptions {
  /** URL of a gateway, or of what is in front of the gateways: `https://chat.example.org`. */
  url: string;
  /** The key printed by `chatctl apikey create`. */
  apiKey: string;
  /** How often a request is repeated that was not answered, or that the server asks to repeat; 3 by default. */
  retries?: number | undefined;
  fetch?: typeof fetch | undefined;
}

export interface ServerRequestOptions extends RequestOptions {
  /**
   * Derive it from what happened (`order-4711-sent`): a request with a key that was used before is not processed again,
   * and returns the first answer. Without it each call has its own key, so that its repetitions are safe.
   */
  idempotencyKey?: string | undefined;
}

const TIMEOUT_MS = 15_000;
const RETRIES = 3;

/** Creates a client of the server API; it keeps no connection open. */
export function serverApi(options: ServerApiOptions): ServerApi {
  return new ServerApi(options);
}

/** An account as a backend sees it. */
export interface Account {
  user: Profile;
  /** Whether it may sign in. */
  isActive: boolean;
}

export interface Presence {
  userId: UserId;
  isOnline: boolean;
}

export class ServerApi {
  readonly #options: ServerApiOptions;

  constructor(options: ServerApiOptions) {
    this.#options = options;
  }

  /** Acts for a user: with the user's rights, and to others it looks as if the user had done it. */
  as(userId: UserId | number): ActingUser {
    return new ActingUser(this, String(userId));
  }

  /** Creates an account without a password, for which your backend signs tokens (only with `BUILTIN_AUTH`). */
  createUser(user: { username: string; displayName?: string }, options?: ServerRequestOptions): Promise<Account> {
    return this.request("create_user", user, options);
  }

  /** Which of up to 1,000 users are online, in their order. */
  async presence(userIds: (UserId | number)[], options?: ServerRequestOptions): Promise<Presence[]> {
    return (await this.request<{ users: Presence[] }>("presence", { userIds }, options)).users;
  }

  /**
   * Calls any endpoint by its name in the audit log. Fields that are path parameters are put into the path.
   * @throws {ChatError} with the server's code, or `TIMEOUT`, `ABORTED` or `CONNECTION_LOST`
   */
  async request<T>(
    name: keyof typeof SERVER_ENDPOINTS,
    fields: Record<string, unknown>,
    { idempotencyKey, timeoutMs = TIMEOUT_MS, signal }: ServerRequestOptions = {},
    actingUser = "",
  ): Promise<T> {
    const [method, template] = SERVER_ENDPOINTS[name];
    const { url, apiKey, retries = RETRIES } = this.#options;
    const rest = { ...fields };
    const path = template.replace(/\{(\w+)\}/g, (_, parameter: string) => {
      if (parameter === "actingUser") return encodeURIComponent(actingUser);
      const value = rest[parameter];
      delete rest[parameter];
      return encodeURIComponent(String(value));
    });
    const headers: Record<string, string> = { authorization: `Bearer ${apiKey}` };
    // A redirect would send the key to another server.
    const init: RequestInit = { method, headers, redirect: "error" };
    let query = "";
    if (method === "GET" || method === "DELETE") {
      const given = Object.entries(rest).filter(([, value]) => value !== undefined);
      if (given.length > 0) query = `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}`;
    } else {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(rest);
    }
    if (method !== "GET") headers["idempotency-key"] = idempotencyKey ?? crypto.randomUUID();
    const target = `${url.replace(/\/+$/, "")}/api/server/v1${path}${query}`;
    const deadline = AbortSignal.timeout(timeoutMs);
    init.signal = signal ? AbortSignal.any([signal, deadline]) : deadline;
    for (let attempt = 0; ; attempt++) {
      const result = await this.#try<T>(target, init);
      if ("answer" in result) return result.answer;
      if (signal?.aborted) throw new ChatError("ABORTED", `${name} was aborted`);
      if (deadline.aborted) throw new ChatError("TIMEOUT", `${name} was not answered within ${timeoutMs} ms`);
      if (result.waitSeconds === undefined || attempt >= retries) throw result.error;
      await pause(result.waitSeconds * 1_000 * (1 + Math.random() / 4), init.signal);
    }
  }

  /** `waitSeconds` is absent if a repetition would not help. */
  async #try<T>(target: string, init: RequestInit): Promise<{ answer: T } | { error: ChatError; waitSeconds?: number | undefined }> {
    const send = this.#options.fetch ?? fetch;
    try {
      const response = await send(target, init);
      const body = (await response.json()) as T & ErrorDetails & { code: ErrorCode; message: string };
      if (response.ok) return { answer: body };
      const { code, message, field, retryAfter, errorId, details } = body;
      return { error: new ChatError(code, message, { field, retryAfter, errorId, details }), waitSeconds: retryAfter };
    } catch {
      // No answer, or one that did not come from a chat server but from something in front of it.
      return { error: new ChatError("CONNECTION_LOST", "the server API cannot be reached"), waitSeconds: 1 };
    }
  }
}

/** A user for whom a backend acts. */
export class ActingUser {
  constructor(
    private readonly api: ServerApi,
    readonly userId: UserId,
  ) {}

  /** Runs a command for the user. */
  call<K extends ServerCommand>(name: K, fields: ServerFields<K>, options?: ServerRequestOptions): Promise<ServerAnswer<K>> {
    return this.api.request(name, fields, options, this.userId);
  }

  /** Sends a message from the product instead of the user; in a direct conversation it is shown between the two. */
  sendAsSystem(
    message: Fields<Commands["send_private_message"]> | Fields<Commands["send_group_message"]>,
    options?: ServerRequestOptions,
  ): Promise<ServerAnswer<"send_private_message" | "send_group_message">> {
    const name = "groupId" in message ? "send_group_message" : "send_private_message";
    return this.api.request(name, { ...message, kind: "system" }, options, this.userId);
  }

  /** Changes the account; `isActive: false` closes its connections and blocks signing in (only with `BUILTIN_AUTH`). */
  update(changes: { displayName?: string; isActive?: boolean }, options?: ServerRequestOptions): Promise<Account> {
    return this.api.request("update_user", changes, options, this.userId);
  }

  /** Closes the user's connections; the token stays valid. */
  async kick(options?: ServerRequestOptions): Promise<void> {
    await this.api.request("kick", {}, options, this.userId);
  }
}

/** What the server posts to a webhook. */
export interface WebhookDelivery {
  /** The same for each repetition of the delivery: process it once. */
  id: string;
  /** `message.created`, `push.wanted` and so on. */
  type: string;
  /** When it happened. */
  timestamp: string;
  data: Record<string, unknown>;
}

/**
 * Parses a webhook delivery, if it was signed with one of these secrets, and recently.
 * @param body as received, before anything parses it
 * @param headers of the request, of `fetch` or of Node.js
 * @param secrets as `chatctl webhook` printed them; two while they change
 * @param toleranceSeconds how far the clocks of server and receiver may differ, and how old an attempt may be
 * @throws {Error} when it is not valid; then answer 401
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | Record<string, string | string[] | undefined>,
  secrets: string | readonly string[],
  toleranceSeconds = 300,
): Promise<WebhookDelivery> {
  const header = (name: string) => String((headers instanceof Headers ? headers.get(name) : headers[name]) ?? "");
  const [id, sentAt] = [header("webhook-id"), header("webhook-timestamp")];
  if (!(Math.abs(Date.now() / 1_000 - Number(sentAt || NaN)) <= toleranceSeconds)) throw new Error("The webhook is too old");
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  const signed = new TextEncoder().encode(`${id}.${sentAt}.${text}`);
  for (const secret of [secrets].flat()) {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", bytesOf(secret.replace(/^whsec_/, "")), algorithm, false, ["verify"]);
    for (const signature of header("webhook-signature").split(" ")) {
      const given = signature.startsWith("v1,") ? bytesOf(signature.slice(3)) : undefined;
      if (given && (await crypto.subtle.verify("HMAC", key, given, signed))) return JSON.parse(text) as WebhookDelivery;
    }
  }
  throw new Error("The webhook is not signed with this secret");
}

/** Decodes base64; empty if the text is not base64. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
