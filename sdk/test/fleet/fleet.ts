// A fleet of real processes on the stores that the caller started, with a database and a prefix of their own: two gateways, and as many
// workers as asked for. The tests of the web client use it, too.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Logs of the fleet, and other files of failed tests. */
export const LOGS = mkdtempSync(join(tmpdir(), "fleet-"));
const READY_WITHIN_MS = 60_000;
export const PASSWORD = "a password for tests";
/** The main backend's token for syncing communities. */
export const SYNC_TOKEN = "tests of the clients";

const SETTINGS = {
  JWT_SECRET: "dGhlIGNsaWVudHMnIHRlc3RzIGFnYWluc3QgYSBmbGVldCwgbm90aGluZyBlbHNl",
  CHAT_ENCRYPTION_KEY: "tests of the clients",
  CHAT_ENCRYPTION_SALT: "salt of the clients",
  COMMUNITY_SYNC_TOKEN: SYNC_TOKEN,
  PARTITIONS: "4",
  MAX_CONNECTIONS_PER_IP: "1000",
  IP_RATE_LIMIT: "1000000",
  MESSAGE_RATE_LIMIT: "100000",
  NEW_CONVERSATION_LIMIT: "1000000",
  BUILTIN_AUTH: "true",
  LOG_LEVEL: "warn",
  DRAIN_WINDOW: "0",
};

export interface User {
  userId: string;
  username: string;
  token: string;
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by \`cargo xtask test sdk\` or \`web\``);
  return value;
}

/** Waits for a condition; fails with `what` after `ms`. */
export async function until<T>(what: string, check: () => T | Promise<T>, ms = 20_000): Promise<T> {
  for (const end = Date.now() + ms; ; await pause(25)) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Program {
  #child: ChildProcess | undefined;

  constructor(
    readonly name: "gateway" | "worker",
    readonly port: number,
    readonly env: Record<string, string>,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const env = { ...this.env, BIND_ADDR: `127.0.0.1:${this.port}` };
    const log = createWriteStream(join(LOGS, `${this.name}-${this.port}.log`), { flags: "a" });
    const child = spawn(join(required("CHAT_BIN_DIR"), this.name), { env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#child = child;
    const isReady = () => fetch(`${this.url}/ready`).then(({ ok }) => ok, () => false);
    await until(
      `${this.name} is ready, logs in ${LOGS}`,
      () => {
        if (child.exitCode !== null) throw new Error(`${this.name} ended, logs in ${LOGS}`);
        return isReady();
      },
      READY_WITHIN_MS,
    );
  }

  /** kill -9, like a crash. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Like a deploy. */
  terminate(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** It hangs for this long, and then continues. */
  async freeze(ms: number): Promise<void> {
    this.#child?.kill("SIGSTOP");
    await pause(ms);
    this.#child?.kill("SIGCONT");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }
}

export class Fleet {
  private constructor(
    readonly workers: Program[],
    readonly gateways: [Program, Program],
    readonly env: Record<string, string>,
  ) {}

  static async start({ workers = 1, settings = {} }: { workers?: number; settings?: Record<string, string> } = {}): Promise<Fleet> {
    const env = {
      ...SETTINGS,
      DATABASE_URL: required("TEST_DATABASE_URL"),
      REDIS_URL: required("TEST_REDIS_URL"),
      REDIS_PREFIX: `clients${process.pid}:`,
      PATH: process.env["PATH"] ?? "",
      ...settings,
    };
    const { DATABASE_URL: _, ...withoutDatabase } = env;
    const worker = async () => new Program("worker", await freePort(), env);
    const gateway = async () => new Program("gateway", await freePort(), withoutDatabase);
    const fleet = new Fleet(
      await Promise.all(Array.from({ length: workers }, worker)),
      await Promise.all([gateway(), gateway()]),
      env,
    );
    fleet.chatctl("migrate");
    await Promise.all(fleet.all.map((program) => program.start()));
    return fleet;
  }

  get all(): Program[] {
    return [...this.workers, ...this.gateways];
  }

  get ports(): number[] {
    return this.gateways.map(({ port }) => port);
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((program) => program.kill()));
  }

  /** Redis loses everything. */
  async emptyRedis(): Promise<void> {
    const { hostname, port, password } = new URL(this.env["REDIS_URL"] ?? "");
    const socket = connect(Number(port), hostname);
    const [, reply] = await new Promise<string[]>((resolve, reject) => {
      let text = "";
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        const lines = (text += String(chunk)).split("\r\n");
        if (lines.length > 2) resolve(lines);
      });
      socket.write(`${password ? `AUTH ${password}` : "PING"}\r\nFLUSHALL\r\n`);
    });
    socket.destroy();
    if (reply !== "+OK") throw new Error(`FLUSHALL: ${reply}`);
  }

  chatctl(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(join(required("CHAT_BIN_DIR"), "chatctl"), args, { env: this.env, encoding: "utf8" });
    if (status !== 0) throw new Error(`chatctl ${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  }

  /** A token of a user, valid for this number of seconds. */
  token(user: User, seconds: number): string {
    return this.chatctl("token", "--id", user.userId, "--ttl", `${seconds}s`);
  }

  async post(path: string, body: object, token?: string): Promise<Record<string, unknown>> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const response = await fetch(this.gateways[0].url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** A new account; the name is made unique. */
  async register(name: string): Promise<User> {
    const username = `${name}_${Math.random().toString(36).slice(2, 8)}`;
    const displayName = name.charAt(0).toUpperCase() + name.slice(1);
    const { token, user } = await this.post("/api/auth/register", { username, displayName, password: PASSWORD });
    return { username, token: token as string, userId: (user as { userId: string }).userId };
  }
}
