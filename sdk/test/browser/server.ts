// The tests' server behind a real socket, and the page that uses it.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "vite";
import { WebSocketServer } from "ws";
import { systemClock } from "../../src/core/environment";
import type { FakeClock } from "../clock";
import { FakeServer, FakeSocket } from "../server";

export interface Served {
  server: FakeServer;
  page: string;
  url: string;
  /** How many sockets are open. */
  count(): number;
  close(): Promise<void>;
}

export async function serve(): Promise<Served> {
  const [output] = (await build({
    configFile: false,
    logLevel: "silent",
    define: { "process.env.NODE_ENV": '"development"' },
    build: { write: false, target: "es2022", lib: { entry: "test/browser/page.ts", formats: ["es"] } },
  })) as unknown as [{ output: { code: string }[] }];
  const script = output.output[0]?.code ?? "";
  const http: Server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : `<!doctype html><title>tab</title><script type="module" src="/page.js"></script>`);
  });
  const server = new FakeServer(systemClock as unknown as FakeClock, Math.random, true);
  const sockets = new WebSocketServer({ server: http });
  sockets.on("connection", (real) => {
    const socket = new FakeSocket(server);
    socket.onmessage = ({ data }) => real.send(data as string);
    socket.onclose = ({ code }) => (code === 1006 ? real.terminate() : real.close(code));
    real.on("message", (data: Buffer) => socket.send(data.toString()));
    real.on("close", () => socket.close());
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  return {
    server,
    page: `http://127.0.0.1:${port}/`,
    url: `ws://127.0.0.1:${port}/`,
    count: () => sockets.clients.size,
    close: async () => {
      for (const client of sockets.clients) client.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
