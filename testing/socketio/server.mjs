// What a chat backend made of Socket.IO looks like at its simplest, for comparison by `cargo xtask bench socketio`: one INSERT
// for each message, and rooms that Redis connects over the processes. It speaks as much of `chat.v1` as `loadtest` needs, each
// JSON object as the argument of an event `m`. It checks no membership, block, limit or repetition, and numbers nothing.
//
// Settings: PORT, DATABASE_URL, REDIS_URL, JWT_SECRET (base64).

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import pg from "pg";
import { Server } from "socket.io";

const { PORT, DATABASE_URL, REDIS_URL, JWT_SECRET } = process.env;
const key = Buffer.from(JWT_SECRET, "base64");
const db = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const insert = {
  name: "insert",
  text: `INSERT INTO socketio_messages (message_id, conversation_id, sender_id, recipient_id, content, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)`,
};

const server = createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false });
io.adapter(createAdapter(new Redis(REDIS_URL), new Redis(REDIS_URL)));

io.on("connection", (socket) => {
  // One after the other, because a connection of the pool each would change their order.
  let last = Promise.resolve();
  socket.emit("m", { type: "connected" });
  socket.on("m", (message) => {
    last = last.then(() => handle(socket, message)).catch((error) => {
      socket.emit("m", { type: "error", code: "INTERNAL_ERROR", requestId: message.requestId });
      console.error(error.message);
    });
  });
});

async function handle(socket, message) {
  if (message.type === "authenticate") {
    socket.data.user = authenticated(message.token);
    await socket.join(`user:${socket.data.user}`);
    socket.emit("m", { type: "auth_success", queuedEvents: 0 });
  } else if (message.type === "send_private_message" && socket.data.user) {
    await send(socket, message);
  }
}

async function send(socket, message) {
  const [sender, recipient, created] = [Number(socket.data.user), Number(message.recipientId), new Date()];
  const conversation = `conv_${Math.min(sender, recipient)}_${Math.max(sender, recipient)}`;
  const id = randomUUID();
  await db.query({ ...insert, values: [id, conversation, sender, recipient, message.content, created] });
  const named = { messageId: id, conversationId: conversation, createdAt: created };
  socket.emit("m", { type: "message_sent", requestId: message.requestId, ...named });
  const event = { type: "new_message", ...named, senderId: sender, recipientId: recipient, content: message.content };
  io.to([`user:${sender}`, `user:${recipient}`]).emit("m", event);
}

/** The user whom the token names. */
function authenticated(token) {
  const [head, claims, signature] = token.split(".");
  const expected = createHmac("sha256", key).update(`${head}.${claims}`).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("a forged token");
  return JSON.parse(Buffer.from(claims, "base64url")).sub;
}

server.listen(Number(PORT), "127.0.0.1");
