// What a network does to a connection: it redirects, delays, stalls, and cuts, even in the middle of a frame.
import { connect, createServer, type Server, type Socket } from "node:net";

export class Proxy {
  readonly #server: Server;
  /** Both ends of every connection. */
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #next = 0;
  /** The most that a chunk is delayed, in either direction; chunks stay in order. */
  delayMs = 0;
  /** Cuts each connection that forwards this, after a part of the chunk. */
  isTearing = false;
  /** New connections are refused. */
  isDown = false;
  /** How many connections were opened. */
  opened = 0;

  private constructor(
    server: Server,
    readonly targets: readonly number[],
    private readonly random: () => number,
  ) {
    this.#server = server;
    server.on("connection", (client) => this.#connected(client, 0));
  }

  /** Connects to the targets in turn, and skips those that do not answer. */
  static async open(targets: readonly number[], random: () => number = Math.random): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server, targets, random);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Cuts all connections, and refuses new ones for this long. */
  outage(ms: number): void {
    this.isDown = true;
    this.cut();
    this.#after(ms, () => (this.isDown = false));
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.cut();
    this.#server.close();
  }

  #connected(client: Socket, tried: number): void {
    client.on("error", () => {});
    const port = this.targets[this.#next++ % this.targets.length];
    if (this.isDown || port === undefined || tried === this.targets.length) return void client.destroy();
    const server = connect(port, "127.0.0.1");
    const refused = () => this.#connected(client, tried + 1);
    server.once("error", refused);
    server.once("connect", () => {
      server.off("error", refused);
      server.on("error", () => {});
      this.opened++;
      const pair = [client, server] as const;
      this.#pairs.add(pair);
      this.#pass(client, server);
      this.#pass(server, client);
      for (const socket of pair) socket.once("close", () => this.#pairs.delete(pair));
    });
  }

  #pass(from: Socket, to: Socket): void {
    let free = 0;
    from.setNoDelay(true);
    from.on("data", (chunk: Buffer) => {
      if (this.isTearing) {
        to.end(chunk.subarray(0, Math.floor(chunk.length / 2)));
        return void from.destroy();
      }
      // Not before the chunk that came before it.
      free = Math.max(free, Date.now() + this.random() * this.delayMs);
      this.#after(free - Date.now(), () => to.write(chunk));
    });
    from.on("close", () => this.#after(Math.max(0, free - Date.now()), () => to.destroy()));
  }

  #after(ms: number, run: () => void): void {
    if (ms <= 0) return run();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
