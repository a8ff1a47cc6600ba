// A fleet of real processes on the stores that the caller started: one worker and two gateways that serve the built client.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BIN = required("CHAT_BIN_DIR");
const WEB_ROOT = join(import.meta.dirname, "../dist");
/** Logs of the fleet, and pictures of tests that failed. */
export const LOGS = mkdtempSync(join(tmpdir(), "web-test-"));
const READY_WITHIN_MS = 30_000;

const SETTINGS: Record<string, string> = {
  JWT_SECRET: "dGhlIHdlYiBjbGllbnQncyB0ZXN0cyBhbmQgbm90aGluZyBlbHNl",
  CHAT_ENCRYPTION_KEY: "tests of the web client",
  CHAT_ENCRYPTION_SALT: "salt of the web client",
  COMMUNITY_SYNC_TOKEN: "tests of the web client",
  REDIS_URL: required("TEST_REDIS_URL"),
  REDIS_PREFIX: `web${process.pid}:`,
  PARTITIONS: "4",
  MAX_CONNECTIONS_PER_IP: "1000",
  IP_RATE_LIMIT: "1000000",
  MESSAGE_RATE_LIMIT: "100000",
  BUILTIN_AUTH: "true",
  LOG_LEVEL: "warn",
  DRAIN_WINDOW: "0",
};

export interface User {
  username: string;
  userId: string;
  token: string;
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by \`cargo xtask test web\``);
  return value;
}

export async function until<T>(what: string, check: () => Promise<T | undefined | false> | T | undefined | false, ms = 10_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

class Process {
  #child: ChildProcess | undefined;

  constructor(
    readonly program: string,
    readonly port: number,
    readonly env: Record<string, string>,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const env = { ...SETTINGS, ...this.env, BIND_ADDR: `127.0.0.1:${this.port}`, PATH: process.env["PATH"] ?? "" };
    const log = createWriteStream(join(LOGS, `${this.program}-${this.port}.log`), { flags: "a" });
    const child = spawn(join(BIN, this.program), { env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#child = child;
    await until(
      `${this.program} is ready, logs in ${LOGS}`,
      async () => {
        if (child.exitCode !== null) throw new Error(`${this.program} ended, logs in ${LOGS}`);
        return fetch(`${this.url}/ready`).then((response) => response.ok, () => false);
      },
      READY_WITHIN_MS,
    );
  }

  /** kill -9, as a crash. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
}

/** An address that leads to a gateway of choice, or nowhere: what the network does to a browser. */
export class Front {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number | undefined;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    server.on("connection", (client) => this.#connected(client));
  }

  static async open(target: number): Promise<Front> {
    const server = createServer();
    const front = new Front(server, target);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return front;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** For new connections. */
  leadTo(port: number | undefined): void {
    this.#target = port;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #connected(client: Socket): void {
    if (this.#target === undefined) return void client.destroy();
    const server = connect(this.#target, "127.0.0.1");
    for (const [from, to] of [[client, server], [server, client]] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => to.destroy());
      from.on("close", () => (this.#sockets.delete(from), to.destroy()));
      from.pipe(to);
    }
  }
}

export class Fleet {
  readonly worker: Process;
  readonly gateways: [Process, Process];

  private constructor(ports: [number, number, number], settings: Record<string, string>) {
    this.worker = new Process("worker", ports[0], { DATABASE_URL: required("TEST_DATABASE_URL") });
    const gateway = (port: number) => new Process("gateway", port, { WEB_ROOT, ...settings });
    this.gateways = [gateway(ports[1]), gateway(ports[2])];
  }

  static async start(settings: Record<string, string> = {}): Promise<Fleet> {
    const fleet = new Fleet([await freePort(), await freePort(), await freePort()], settings);
    fleet.chatctl("migrate");
    await Promise.all([fleet.worker.start(), ...fleet.gateways.map((gateway) => gateway.start())]);
    return fleet;
  }

  async stop(): Promise<void> {
    await Promise.all([this.worker, ...this.gateways].map((process) => process.kill()));
  }

  chatctl(...args: string[]): string {
    const env = { ...SETTINGS, ...this.worker.env, PATH: process.env["PATH"] ?? "" };
    const { status, stdout, stderr } = spawnSync(join(BIN, "chatctl"), args, { env, encoding: "utf8" });
    if (status !== 0) throw new Error(`chatctl ${args.join(" ")}: ${stderr}`);
    return stdout;
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

export const PASSWORD = "a password for tests";
