// A product's backend against real servers, one of which crashes.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatError, type ServerApi, serverApi } from "../../src/server";
import { Fleet } from "./fleet";
import { Person } from "./person";

let fleet: Fleet;
let api: ServerApi;

beforeAll(async () => {
  fleet = await Fleet.start();
  const created = fleet.chatctl("apikey", "create", "backend", "--scope", "users,messages,groups,read,presence,sessions");
  const apiKey = created.split(/\s+/).find((word) => word.startsWith("ck_")) ?? created;
  api = serverApi({ url: `http://127.0.0.1:${fleet.ports[0]}`, apiKey, retries: 20 });
});

afterAll(() => fleet?.stop());

test("a backend creates users, writes to them and reads what they see", async () => {
  const name = Math.random().toString(36).slice(2, 8);
  const shop = (await api.createUser({ username: `shop_${name}`, displayName: "The Shop" })).user;
  const alice = await fleet.register("alice");
  const person = new Person(alice, `ws://127.0.0.1:${fleet.ports[1]}/ws`);
  await person.online();

  const content = "Your order is on its way.";
  const fields = { recipientId: alice.userId, content };
  const sent = await api.as(shop.userId).call("send_private_message", fields, { idempotencyKey: `sent-${name}` });
  const again = await api.as(shop.userId).call("send_private_message", fields, { idempotencyKey: `sent-${name}` });
  expect(again).toMatchObject({ messageId: sent.messageId, seq: sent.seq });
  await expect.poll(() => person.seqs(sent.conversationId)).toEqual([1]);

  const page = await api.as(alice.userId).call("get_private_messages", { recipientId: shop.userId });
  expect(page.messages.map(({ content }) => content)).toEqual([content]);
  expect(await api.presence([alice.userId, shop.userId])).toEqual([
    { userId: alice.userId, isOnline: true },
    { userId: shop.userId, isOnline: false },
  ]);
  const refused = await api.as(shop.userId).call("send_private_message", { recipientId: "999999999", content }).catch((error: ChatError) => error);
  expect(refused).toMatchObject({ name: "ChatError", code: "RESOURCE_NOT_FOUND" });
  person.client.close();
});

test("requests during a crash of the worker are carried out once", async () => {
  const [alice, bob] = await Promise.all([fleet.register("alice"), fleet.register("bob")]);
  const [worker] = fleet.workers;
  const sends = Array.from({ length: 20 }, (_, n) =>
    api.as(alice.userId).call("send_private_message", { recipientId: bob.userId, content: `${n}` }, { timeoutMs: 60_000 }),
  );
  await worker?.kill();
  await worker?.start();
  const seqs = (await Promise.all(sends)).map(({ seq }) => seq);
  expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
});
