// The main screens: looked at by axe in both themes and directions, and kept as the pictures of README and docs/web.md.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands, DESKTOP, direct, launch, Person, PHONE } from "./browser";
import { Fleet, type User } from "./fleet";

const PICTURES = join(import.meta.dirname, "../../docs/images");
/** Written only on request: they differ with every font and every minute. */
const KEPT =
  process.env["PICTURES"] === "1"
    ? ["details-light-desktop", "conversation-dark-desktop", "inbox-light-phone", "group-dark-phone", "group-arabic-light", "conversation-arabic-dark"]
    : [];

let fleet: Fleet;
let browser: Browser;
let url: string;
let maya: User;
let group: string;
let chat: string;

beforeAll(async () => {
  [fleet, browser] = await Promise.all([Fleet.start(), launch()]);
  url = fleet.gateways[0].url;
  mkdirSync(PICTURES, { recursive: true });
  const names = ["maya", "jonas", "leila", "tom", "sofia"];
  const users: User[] = [];
  for (const name of names) users.push(await fleet.register(name));
  const [me, jonas, leila, tom, sofia] = users as [User, User, User, User, User];
  maya = me;
  chat = direct(maya, jonas);
  const say = (to: User, content: string, more: object = {}) => ({ type: "send_private_message", recipientId: to.userId, content, ...more });
  await commands(browser, url, tom, [say(maya, "The tickets are booked 🎫")]);
  const [created] = await commands(browser, url, leila, [
    {
      type: "create_group",
      groupName: "Hiking on Sunday",
      groupDescription: "Where we go, who drives, what we eat.",
      initialMembers: [maya, jonas, sofia].map((user) => user.userId),
    },
  ]);
  group = (created as { groupId: string }).groupId;
  const post = (content: string, more: object = {}) => ({ type: "send_group_message", groupId: group, content, ...more });
  await commands(browser, url, leila, [
    { type: "send_announcement", groupId: group, content: "We meet at 8:30 at the station, platform 3." },
    post("The path along the river is open again, I was there last week."),
  ]);
  const [route] = await commands(browser, url, sofia, [
    post("Lovely! Here is the route: https://example.org/routes/river-loop"),
    post("14 km, and a hut with cake after two thirds of it"),
  ]);
  const routeId = (route as { messageId: string }).messageId;
  await commands(browser, url, maya, [
    { type: "add_group_reaction", messageId: routeId, reaction: "🎉" },
    post("Cake decides it. I bring coffee for everyone.", { replyToMessageId: routeId }),
  ]);
  await commands(browser, url, jonas, [
    { type: "add_group_reaction", messageId: routeId, reaction: "🎉" },
    { type: "mark_message_read", messageId: routeId, groupId: group },
    post(`I can drive four people. @${maya.username} shall I pick you up?`),
  ]);
  await commands(browser, url, jonas, [say(maya, "Did you get my notes about the release?")]);
  await commands(browser, url, maya, [say(jonas, "Yes, reading them now"), say(jonas, "The part about the queue is spot on")]);
  const [last] = await commands(browser, url, jonas, [
    say(maya, "Good. One thing I am not sure about: do we want to keep the old endpoint for another release, or is a note enough?"),
  ]);
  await commands(browser, url, maya, [
    say(jonas, "Keep it. Two customers still use it, and it costs us nothing.", { replyToMessageId: (last as { messageId: string }).messageId }),
  ]);
  await commands(browser, url, jonas, [say(maya, "👍"), say(maya, "Then I write it down like that and send it round this afternoon.")]);
  const community = { communityId: "11111111-1111-4111-8111-111111111111", name: "Morning runners", description: "Before work, whatever the weather", isActive: true };
  await fleet.post(
    "/community/progression",
    {
      community,
      members: [{ userId: maya.userId, role: "member" }, { userId: leila.userId, role: "owner" }],
      event: { eventId: crypto.randomUUID(), userId: maya.userId, challengeId: "c1", challengeType: "run", xpAwarded: 120, occurredAt: new Date().toISOString(), payload: {} },
    },
    "tests of the web client",
  );
});

afterAll(async () => {
  await browser?.close();
  await fleet?.stop();
});

const LOOKS: { name: string; options: BrowserContextOptions; language: string }[] = [
  { name: "light-desktop", options: { colorScheme: "light", viewport: DESKTOP }, language: "en" },
  { name: "dark-desktop", options: { colorScheme: "dark", viewport: DESKTOP }, language: "en" },
  { name: "light-phone", options: { colorScheme: "light", viewport: PHONE, hasTouch: true, isMobile: true }, language: "en" },
  { name: "dark-phone", options: { colorScheme: "dark", viewport: PHONE, hasTouch: true, isMobile: true }, language: "en" },
  { name: "arabic-light", options: { colorScheme: "light", viewport: DESKTOP, locale: "ar" }, language: "ar" },
  { name: "arabic-dark", options: { colorScheme: "dark", viewport: PHONE, locale: "ar" }, language: "ar" },
];

async function look(person: Person, screen: string, look: string): Promise<void> {
  await person.axe(`${screen}, ${look}`);
  const picture = `${screen}-${look}`;
  if (KEPT.includes(picture)) await person.page.screenshot({ path: join(PICTURES, `${picture}.png`) });
}

describe.each(LOOKS)("$name", ({ name, options, language }) => {
  test("all screens are free of what axe finds", async () => {
    const guest = await Person.open(browser, url, options);
    await guest.goto("/");
    await guest.page.getByRole("textbox").first().waitFor();
    expect(await guest.page.evaluate(() => [document.documentElement.lang, document.documentElement.dir])).toEqual([
      language,
      language === "ar" ? "rtl" : "ltr",
    ]);
    await look(guest, "sign-in", name);

    const person = await Person.signedIn(browser, url, maya, "/", options);
    const { page } = person;
    await page.locator(".row").nth(3).waitFor();
    await look(person, "inbox", name);
    await person.goto(chat);
    await page.locator("article").nth(5).waitFor();
    await look(person, "conversation", name);
    await page.locator("article").last().locator(".more").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("menu").waitFor();
    await look(person, "menu", name);
    await page.keyboard.press("Escape");
    await person.goto(`/c/${group}`);
    await page.locator("article").nth(4).waitFor();
    await look(person, "group", name);
    await page.locator(".conversation-head button.icon-button").last().click();
    await page.locator(".members .person").nth(3).waitFor();
    await look(person, "details", name);
    await person.goto("/new");
    await page.locator(".person-search input").fill("so");
    await page.locator("button.person").first().waitFor();
    await look(person, "new-chat", name);
    await person.goto("/settings");
    await page.locator(".segments").first().waitFor();
    await look(person, "settings", name);
    await person.goto("/communities");
    await page.locator(".community .progress").waitFor();
    await look(person, "communities", name);
    await page.keyboard.press("Control+k");
    await page.getByRole("listbox").waitFor();
    await look(person, "palette", name);
  });
});

test("nothing overflows at 320 pixels", async () => {
  const person = await Person.signedIn(browser, url, maya, "/", { viewport: { width: 320, height: 640 } });
  for (const path of ["/", chat, `/c/${group}`, "/settings", "/new/group", "/communities"]) {
    await person.goto(path);
    await person.page.locator("h1:visible, h2:visible").first().waitFor();
    const width = await person.page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
    expect(width, path).toBeLessThanOrEqual(320);
  }
});
