// The fleet of the SDK's tests, with gateways that serve the built client, and what the network does to a browser.
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { Fleet } from "../../sdk/test/fleet/fleet";

export { type Fleet, LOGS, PASSWORD, SYNC_TOKEN, until, type User } from "../../sdk/test/fleet/fleet";

const WEB_ROOT = join(import.meta.dirname, "../dist");

export function startFleet(settings: Record<string, string> = {}): Promise<Fleet> {
  return Fleet.start({ settings: { WEB_ROOT, ...settings } });
}

/** An address that leads to a chosen gateway, or nowhere: it simulates a browser's network. */
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
