// The other libraries, each with a server as simple as it can be: everything that is not about the connection works at once.
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Centrifuge } from "centrifuge";
import { Server } from "socket.io";
import { io, type ManagerOptions, type SocketOptions } from "socket.io-client";
import { WebSocket, WebSocketServer } from "ws";
import type { Contestant, End } from "./compare";

async function listen(http: HttpServer): Promise<number> {
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return (http.address() as AddressInfo).port;
}

/** `isCareful`: with the settings for delivery guarantees in its documentation. */
export async function socketIo(isCareful: boolean): Promise<Contestant> {
  const http = createServer();
  const server = new Server(http, isCareful ? { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } } : {});
  server.on("connection", (socket) => {
    socket.on("message", (content: string, confirm?: () => void) => {
      server.emit("message", content);
      confirm?.();
    });
  });
  const port = await listen(http);
  const options: Partial<ManagerOptions & SocketOptions> = {
    transports: ["websocket"],
    forceNew: true,
    ...(isCareful ? { retries: 100, ackTimeout: 2_000 } : {}),
  };
  const enter = async (proxy: number): Promise<End> => {
    const socket = io(`http://127.0.0.1:${proxy}`, options);
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    return {
      isOnline: () => socket.connected,
      send: (content) => void socket.emit("message", content),
      onMessage: (handle) => void socket.on("message", handle),
      close: () => void socket.close(),
    };
  };
  return { name: isCareful ? "socket.io-client, with retries and recovery" : "socket.io-client", ports: [port], enter, close: async () => void (await server.close()) };
}

interface Command {
  id?: number;
  connect?: object;
  subscribe?: { recover?: boolean; offset?: number };
  publish?: { data: string };
}

/** A stand-in for Centrifugo that speaks its JSON protocol, with a history that is never too short. */
export async function centrifuge(): Promise<Contestant> {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const history: { data: string; offset: number }[] = [];
  const answer = (id: number | undefined, { connect, subscribe, publish }: Command): object => {
    if (connect) return { id, connect: { client: "client", version: "stand-in", ping: 25, pong: true } };
    if (publish) {
      const pub = { data: publish.data, offset: history.length + 1 };
      history.push(pub);
      for (const other of server.clients) other.send(JSON.stringify({ push: { channel: "all", pub } }));
      return { id, publish: {} };
    }
    const missed = subscribe?.recover ? history.slice(subscribe.offset ?? 0) : [];
    const position = { recoverable: true, positioned: true, epoch: "one", offset: history.length };
    return { id, subscribe: { ...position, recovered: true, was_recovering: subscribe?.recover ?? false, publications: missed } };
  };
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data: Buffer) => {
      for (const line of data.toString().split("\n")) {
        const command = JSON.parse(line) as Command;
        if (command.id !== undefined) socket.send(JSON.stringify(answer(command.id, command)));
      }
    });
  });
  const port = await listen(http);
  const enter = async (proxy: number): Promise<End> => {
    const client = new Centrifuge(`ws://127.0.0.1:${proxy}/`, { websocket: WebSocket });
    const subscription = client.newSubscription("all", { positioned: true, recoverable: true });
    const subscribed = new Promise<void>((resolve) => subscription.once("subscribed", () => resolve()));
    client.connect();
    subscription.subscribe();
    await subscribed;
    return {
      isOnline: () => client.state === "connected",
      // It rejects if the connection is lost; the library does not send again.
      send: (content) => void subscription.publish(content).catch(() => {}),
      onMessage: (handle) => void subscription.on("publication", ({ data }) => handle(data as string)),
      close: () => client.disconnect(),
    };
  };
  const close = async () => {
    for (const socket of server.clients) socket.terminate();
    http.close();
  };
  return { name: "centrifuge", ports: [port], enter, close };
}
