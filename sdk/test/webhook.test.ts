// Reading what the server posts to a webhook.
import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { verifyWebhook } from "../src/server";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = "whsec_dGhlIG9sZCBzZWNyZXQsIGxvbmcgZW5vdWdo";
const BODY = JSON.stringify({ id: "message.created.1", type: "message.created", timestamp: "2026-01-01T00:00:00.000Z", data: { content: "ä" } });

function sign(secret: string, { id = "message.created.1", at = Math.floor(Date.now() / 1_000), body = BODY } = {}) {
  const key = Buffer.from(secret.slice(6), "base64");
  const signature = `v1,${createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64")}`;
  return { "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": signature };
}

test("a delivery that was signed is read", async () => {
  const headers = sign(SECRET);
  const read = await verifyWebhook(BODY, headers, SECRET);
  expect(read).toEqual(JSON.parse(BODY));
  expect(await verifyWebhook(new TextEncoder().encode(BODY), new Headers(headers), [OTHER, SECRET])).toEqual(read);
});

test("a delivery is read by either of two signatures", async () => {
  const headers = sign(SECRET);
  headers["webhook-signature"] = `${sign(OTHER)["webhook-signature"]} ${headers["webhook-signature"]}`;
  await expect(verifyWebhook(BODY, headers, SECRET)).resolves.toBeTruthy();
  await expect(verifyWebhook(BODY, headers, OTHER)).resolves.toBeTruthy();
});

test("a delivery that does not match its signature is rejected", async () => {
  const headers = sign(SECRET);
  const refused = [
    () => verifyWebhook(`${BODY} `, headers, SECRET),
    () => verifyWebhook(BODY, headers, OTHER),
    () => verifyWebhook(BODY, { ...headers, "webhook-id": "message.created.2" }, SECRET),
    () => verifyWebhook(BODY, { ...headers, "webhook-signature": "v1,###" }, SECRET),
    () => verifyWebhook(BODY, { ...headers, "webhook-signature": headers["webhook-signature"].replace("v1", "v2") }, SECRET),
    () => verifyWebhook(BODY, {}, SECRET),
    () => verifyWebhook(BODY, sign(SECRET, { at: Math.floor(Date.now() / 1_000) - 400 }), SECRET),
    () => verifyWebhook(BODY, sign(SECRET, { at: Math.floor(Date.now() / 1_000) + 400 }), SECRET),
  ];
  for (const verify of refused) await expect(verify()).rejects.toThrow("The webhook is");
});
