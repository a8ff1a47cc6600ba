// The main screens: looked at by axe in both themes and directions, and kept as the pictures of README and docs/web.md.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, commands, DESKTOP, direct, launch, Person, PHONE } from "./browser";
import { type Fleet, Front, PASSWORD, startFleet, SYNC_TOKEN, type User } from "./fleet";

/** `PICTURES=1` writes those that README and docs/web.md show (they differ with every font and every minute), `PICTURES=dir` all. */
const WANTED = process.env["PICTURES"];
const FOLDER = WANTED === "1" ? join(import.meta.dirname, "../../docs/images") : WANTED;
const SHOWN = ["details-light-desktop", "conversation-dark-desktop", "inbox-light-phone", "group-dark-phone", "group-light-arabic", "conversation-dark-arabic-phone"];

let fleet: Fleet;
let browser: Browser;
let front: Front;
let url: string;
let maya: User;
let group: string;
let chat: string;

beforeAll(async () => {
  [fleet, browser] = await Promise.all([startFleet(), launch()]);
  front = await Front.open(fleet.gateways[0].port);
  url = front.url;
  if (FOLDER) mkdirSync(FOLDER, { recursive: true });
  const names = ["maya", "jonas", "leila", "tom", "sofia"];
  const users: User[] = [];
  for (const name of names) users.push(await fleet.register(name));
  const [me, jonas, leila, tom, sofia] = users as [User, User, User, User, User];
  maya = me;
  // On another device, too.
  const { token } = await fleet.post("/api/auth/login", { username: maya.username, password: PASSWORD });
  await commands(browser, url, { ...maya, token: token as string }, [{ type: "get_user_groups" }]);
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
  await commands(browser, url, leila, [{ type: "pin_message", messageId: routeId, groupId: group }]);
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
    SYNC_TOKEN,
  );
});

afterAll(async () => {
  await browser?.close();
  front?.close();
  await fleet?.stop();
});

const PHONE_OPTIONS: BrowserContextOptions = { viewport: PHONE, hasTouch: true, isMobile: true };
const LOOKS: { name: string; options: BrowserContextOptions; isRtl: boolean }[] = [
  { name: "desktop", options: { viewport: DESKTOP }, isRtl: false },
  { name: "phone", options: PHONE_OPTIONS, isRtl: false },
  { name: "arabic", options: { viewport: DESKTOP, locale: "ar" }, isRtl: true },
  { name: "arabic-phone", options: { ...PHONE_OPTIONS, locale: "ar" }, isRtl: true },
];
const THEMES = ["light", "dark"] as const;
/** Every screen in both directions, and on both sizes of screen; all four for pictures. */
const ENOUGH = ["desktop", "arabic-phone"];

/** No violation of any rule on what is shown, in both themes. */
async function look({ page }: Person, screen: string, where: string): Promise<void> {
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    const name = `${screen}-${colorScheme}-${where}`;
    expect.soft(await axe(page), name).toEqual([]);
    if (FOLDER && (WANTED !== "1" || SHOWN.includes(name))) await page.screenshot({ path: join(FOLDER, `${name}.png`) });
  }
}

describe.each(LOOKS.filter(({ name }) => FOLDER || ENOUGH.includes(name)))("axe finds nothing, $name", ({ name, options, isRtl }) => {
  test("before one is signed in", async () => {
    // The service worker would fetch the page that is changed below.
    const person = await Person.open(browser, url, { ...options, serviceWorkers: "block" });
    const { page } = person;
    await person.goto("/");
    await page.locator("input[name=username]").waitFor();
    expect(await page.evaluate(() => document.documentElement.dir)).toBe(isRtl ? "rtl" : "ltr");
    await look(person, "sign-in", name);
    await page.locator(".card > .button.quiet").click();
    await page.locator("input[name=displayName]").waitFor();
    await look(person, "register", name);

    // A server without accounts of its own, and a development server with demo users.
    await page.route("**/web.json", (route) => route.fulfill({ json: { auth: "host", embeddedBy: [] } }));
    await person.goto("/");
    await page.locator(".card:not(:has(form))").waitFor();
    await look(person, "host", name);
    await page.route("**/demo-users.json", (route) => route.fulfill({ json: ["alice", "bob", "carol", "dave"].map((username) => ({ username, token: "" })) }));
    await page.route("**/", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace("<head>", '<head><meta name="demo-users" content="/demo-users.json" />');
      await route.fulfill({ response, body });
    });
    await person.goto("/");
    await page.locator(".demo button").nth(3).waitFor();
    await look(person, "demo", name);
  });

  test("with nothing in the list", async () => {
    const person = await Person.signedIn(browser, url, await fleet.register("newcomer"), "/", options);
    await person.page.locator(".inbox .empty").waitFor();
    await look(person, "empty", name);
    await person.visit("/communities");
    await person.page.locator(".side-body .empty").waitFor();
    await look(person, "no-communities", name);
    await person.visit(`/c/group_${crypto.randomUUID()}`);
    await person.page.locator(".stage .empty .button").waitFor();
    await look(person, "gone", name);
  });

  test("in conversations", async () => {
    const person = await Person.signedIn(browser, url, maya, "/", options);
    const { page } = person;
    await page.locator(".row").nth(2).waitFor();
    await look(person, "inbox", name);
    // A name begins where the list does, whatever its letters.
    expect(await page.locator(".row-name").first().evaluate((row) => getComputedStyle(row).textAlign)).toBe(isRtl ? "right" : "left");
    await person.visit(chat);
    await page.locator("article").nth(5).waitFor();
    await look(person, "conversation", name);
    const menu = async () => {
      await page.locator("article").last().focus();
      await page.keyboard.press("Enter");
      await page.getByRole("menu").waitFor();
    };
    await menu();
    await look(person, "menu", name);
    await page.locator(".quick-reactions button").last().click();
    await page.locator("[frimousse-emoji]:visible").first().waitFor();
    await look(person, "emoji", name);
    await page.keyboard.press("Escape");
    await menu();
    await page.getByRole("menuitem").last().click();
    await page.locator("dialog .danger").waitFor();
    await look(person, "delete", name);
    await page.keyboard.press("Escape");
    await person.visit(`/c/${group}`);
    await page.locator("article").nth(4).waitFor();
    await look(person, "group", name);
    await page.locator(".conversation-head button.icon-button").first().click();
    await page.locator(".pins button").waitFor();
    await look(person, "pins", name);
    await page.locator(".panel-head button").click();
    await page.locator(".conversation-head button.icon-button").last().click();
    await page.locator(".members .person").nth(3).waitFor();
    await look(person, "details", name);
  });

  test("beside conversations, and without a connection", async () => {
    const person = await Person.signedIn(browser, url, maya, "/new", options);
    const { page } = person;
    await page.locator(".person-search input").fill("so");
    await page.locator("button.person").first().waitFor();
    await look(person, "new-chat", name);
    await person.visit("/new/group");
    await page.locator(".person-search input").fill("so");
    await page.locator("button.person").first().click();
    await page.locator(".chips button").waitFor();
    await look(person, "new-group", name);
    await person.visit("/settings");
    await page.locator(".segments").first().waitFor();
    await page.locator("fieldset .person .button").first().waitFor();
    await look(person, "settings", name);
    await person.visit("/communities");
    await page.locator(".community .progress").waitFor();
    await look(person, "communities", name);
    await page.keyboard.press("Control+k");
    await page.getByRole("option").first().waitFor();
    await look(person, "palette", name);
    await page.keyboard.press("Escape");
    await person.visit("/");
    front.leadTo(undefined);
    front.cut();
    try {
      await page.locator(".connection .button").waitFor();
      await look(person, "offline", name);
    } finally {
      front.leadTo(fleet.gateways[0].port);
    }
  });
});

test("nothing overflows at 320 pixels", async () => {
  const person = await Person.signedIn(browser, url, maya, "/", { viewport: { width: 320, height: 640 } });
  const { page } = person;
  for (const path of ["/", chat, `/c/${group}`, "/settings", "/new", "/new/group", "/communities"]) {
    await person.visit(path);
    await page.locator("h1:visible, h2:visible").first().waitFor();
    const width = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
    expect(width, path).toBeLessThanOrEqual(320);
    if (FOLDER && WANTED !== "1") await page.screenshot({ path: join(FOLDER, `narrow${path.replaceAll("/", "-").slice(0, 20)}.png`) });
  }
});
