import type { Browser, Locator } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands, direct, launch, Person } from "./browser";
import { type Fleet, Front, PASSWORD, startFleet, until, type User } from "./fleet";

let fleet: Fleet;
let browser: Browser;
let one: Front;
let two: Front;

beforeAll(async () => {
  [fleet, browser] = await Promise.all([startFleet(), launch()]);
  one = await Front.open(fleet.gateways[0].port);
  two = await Front.open(fleet.gateways[1].port);
});

afterAll(async () => {
  await browser?.close();
  one?.close();
  two?.close();
  await fleet?.stop();
});

/** Two people, each on a different gateway, in their conversation. */
async function pair(): Promise<{ alice: Person; bob: Person; users: [User, User] }> {
  const users: [User, User] = [await fleet.register("alice"), await fleet.register("bob")];
  const path = direct(...users);
  const alice = await Person.signedIn(browser, one.url, users[0], path);
  const bob = await Person.signedIn(browser, two.url, users[1], path);
  await Promise.all([alice, bob].map((person) => person.composer.waitFor()));
  return { alice, bob, users };
}

/** Returns true if the field has the focus; earlier keystrokes go elsewhere. */
async function hasFocus(field: Locator): Promise<boolean> {
  return (await field.count()) === 1 && (await field.evaluate((element) => element === document.activeElement));
}

describe("signing in", () => {
  test("a newcomer registers, finds somebody and writes", async () => {
    const bob = await fleet.register("bob");
    const person = await Person.open(browser, one.url);
    const { page } = person;
    await person.goto("/");
    await page.getByRole("button", { name: "New here? Create an account" }).click();
    await page.getByLabel("Username").fill(`newcomer_${Date.now()}`);
    await page.getByLabel("Name that others see").fill("New Comer");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Create account", exact: true }).click();
    await page.getByRole("link", { name: "Start a chat" }).click();
    await page.getByLabel("Name or username").fill(bob.username);
    await page.locator("button.person").click();
    await person.send("hello, I am new here");
    await person.status("hello, I am new here", "sent");
    await page.goto(one.url);
    await person.row("Bob").waitFor();
  });

  test("a wrong password is reported, the right one signs in, signing out revokes", async () => {
    const user = await fleet.register("alice");
    const person = await Person.open(browser, one.url);
    const { page } = person;
    await person.goto("/");
    await page.getByLabel("Username").fill(user.username);
    await page.getByLabel("Password", { exact: true }).fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("The username or the password is wrong.").waitFor();
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Username").waitFor();
    await page.reload();
    await page.getByLabel("Username").waitFor();
  });
});

describe("a conversation", () => {
  test("messages, typing and marks go from one gateway to the other", async () => {
    const { alice, bob, users } = await pair();
    // A typing indicator reaches only users who are connected.
    await alice.page.locator(".subtitle").getByText("Online").waitFor();
    await alice.composer.pressSequentially("he");
    await bob.page.locator(".subtitle.is-typing").waitFor();
    await alice.send("hello bob");
    await bob.sees("hello bob");
    await alice.status("hello bob", "read");
    await bob.send("hello alice, see https://example.org/a?b=1.");
    await alice.page.getByRole("link", { name: "https://example.org/a?b=1", exact: true }).waitFor();
    await bob.goto("/");
    await alice.send("are you still there?");
    await bob.row("Alice").locator(".badge").getByText("1", { exact: true }).waitFor();
    await until("the title counts it", async () => (await bob.page.title()) === "(1) Chat");
    await alice.status("are you still there?", "delivered");
    await bob.row("Alice").click();
    await bob.page.locator(".new-line").waitFor();
    await alice.status("are you still there?", "read");
    expect(users.length).toBe(2);
  });

  test("one edits, replies, jumps, reacts, pins and deletes", async () => {
    const { alice, bob } = await pair();
    await alice.send("first wrods");
    await alice.status("first wrods", "read");
    await alice.composer.press("ArrowUp");
    await alice.composer.fill("first words");
    await alice.composer.press("Enter");
    await bob.sees("first words");
    await bob.message("first words").getByText("edited").waitFor();
    await bob.act("first words", "Reply");
    await bob.send("an answer");
    await alice.message("an answer").locator(".quote").getByText("first words").waitFor();
    await alice.message("an answer").locator(".quote").click();
    await alice.page.waitForURL(/\/c\/conv_\d+_\d+\/1$/);
    await alice.page.locator("article.marked").waitFor();
    await alice.act("an answer", "React 🎉");
    await bob.message("an answer").locator(".reactions").getByText("🎉").waitFor();
    await alice.act("an answer", "Pin");
    await bob.page.getByRole("button", { name: "Pinned messages" }).click();
    await bob.page.locator(".pins").getByText("an answer").waitFor();
    await alice.act("first words", "Delete for everyone");
    await alice.page.getByRole("dialog").getByRole("button", { name: "Delete for everyone" }).click();
    await bob.message("first words").waitFor({ state: "detached" });
  });

  test("a draft is kept, and shown in the list", async () => {
    const { alice, bob } = await pair();
    await bob.send("something to list");
    await alice.sees("something to list");
    await alice.composer.fill("not yet");
    await alice.composer.press("Escape");
    await alice.row("Bob").getByText("not yet").waitFor();
    await alice.page.reload();
    await alice.row("Bob").click();
    await until("the draft is there again", async () => (await alice.composer.inputValue()) === "not yet");
  });

  test("what comes below is counted, and one jumps to it", async () => {
    const { alice, bob, users } = await pair();
    const lines = Array.from({ length: 40 }, (_, n) => ({ type: "send_private_message", recipientId: users[0].userId, content: `line ${n}` }));
    await commands(browser, two.url, users[1], lines);
    await alice.sees("line 39");
    await alice.page.locator(".scroller").hover();
    // The list may still follow the last line, so one turn of the wheel may be undone.
    const scrollUp = async () => {
      await alice.page.mouse.wheel(0, -200);
      return alice.page.locator(".scroller").evaluate((list) => list.scrollHeight - list.clientHeight - list.scrollTop);
    };
    await expect.poll(scrollUp, { timeout: 10_000 }).toBeGreaterThan(500);
    const jump = alice.page.locator(".to-latest");
    await jump.waitFor();
    await bob.send("below 1");
    await bob.send("below 2");
    await jump.locator(".badge").getByText("2", { exact: true }).waitFor();
    await jump.click();
    await alice.message("below 2").waitFor();
    await jump.waitFor({ state: "detached" });
    await bob.status("below 2", "read");
  });

  test("content that tries to be markup stays text", async () => {
    const { alice, bob } = await pair();
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script> javascript:alert(1)`;
    await alice.send(hostile);
    await bob.sees(hostile);
    expect(await bob.page.locator(".content img, .content script, .content a").count()).toBe(0);
    expect(await bob.page.title()).not.toContain("owned");
  });
});

describe("a bad network", () => {
  test("what is written offline goes out later, once and in order", async () => {
    const { alice, bob } = await pair();
    await alice.send("before");
    await bob.sees("before");
    one.leadTo(undefined);
    one.cut();
    for (const text of ["offline 1", "offline 2", "offline 3"]) await alice.send(text);
    await alice.status("offline 3", "sending");
    await alice.page.getByText("You are offline.").waitFor();
    one.leadTo(fleet.gateways[0].port);
    // It may be back before one has asked for it.
    await alice.page.getByRole("button", { name: "Try now" }).click({ timeout: 3_000 }).catch(() => {});
    await bob.sees("offline 3");
    await alice.status("offline 3", "read");
    const contents = await bob.page.locator("article .content").allTextContents();
    expect(contents).toEqual(["before", "offline 1", "offline 2", "offline 3"]);
  });

  test("a gateway that dies while one types loses nothing", async () => {
    const { alice, bob } = await pair();
    await alice.send("before the crash");
    await bob.sees("before the crash");
    await alice.composer.pressSequentially("half a sen");
    one.leadTo(fleet.gateways[1].port);
    await fleet.gateways[0].kill();
    await bob.send("while alice was away");
    await alice.composer.pressSequentially("tence");
    await alice.composer.press("Enter");
    await bob.sees("half a sentence");
    await alice.sees("while alice was away");
    await fleet.gateways[0].start();
    one.leadTo(fleet.gateways[0].port);
  });

  test("without a connection the page starts, and shows what it knows", async () => {
    const { alice, bob } = await pair();
    await alice.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await alice.page.reload();
    await alice.composer.waitFor();
    one.leadTo(undefined);
    one.cut();
    await alice.page.reload();
    await alice.composer.waitFor();
    await alice.composer.fill("written in a tunnel");
    await alice.composer.press("Enter");
    await alice.status("written in a tunnel", "sending");
    // Of the other one nothing is known now.
    await alice.page.locator(".subtitle").getByText("Reconnecting…").waitFor();
    await alice.page.reload();
    await alice.status("written in a tunnel", "sending");
    one.leadTo(fleet.gateways[0].port);
    await bob.sees("written in a tunnel");
  });
});

describe("several devices", () => {
  test("a second tab shows the same, and reading in one clears the other", async () => {
    const { alice, bob } = await pair();
    const tab = await alice.context.newPage();
    alice.watch(tab);
    await tab.goto(one.url);
    await bob.send("for both tabs");
    await alice.sees("for both tabs");
    await tab.locator(".row").getByText("for both tabs").waitFor();
    // Read in one tab, it is no longer unread in the other.
    await until("nothing is unread", async () => (await tab.title()) === "Chat" && (await tab.locator(".row .badge").count()) === 0);
    await tab.locator(".row").first().click();
    await tab.locator("article .content").getByText("for both tabs").waitFor();
    await tab.locator(".composer textarea").fill("from the second tab");
    await tab.locator(".composer textarea").press("Enter");
    await alice.sees("from the second tab");
    await bob.sees("from the second tab");
  });

  test("a revoked token leads to the sign-in page, and says why", async () => {
    const { alice, users } = await pair();
    await fleet.post("/api/auth/logout", {}, users[0].token);
    await alice.page.getByText("You were signed out on this device.").waitFor();
    await alice.page.getByLabel("Username").waitFor();
  });
});

describe("where one is signed in", () => {
  test("is shown in the settings, and one signs out there or everywhere else", async () => {
    const user = await fleet.register("alice");
    const signIn = async () => ({ ...user, token: (await fleet.post("/api/auth/login", { username: user.username, password: PASSWORD }))["token"] as string });
    const here = await Person.signedIn(browser, one.url, user, "/settings");
    const firefox = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0";
    const phone = await Person.signedIn(browser, two.url, await signIn(), "/", { userAgent: firefox });
    const others = [await Person.signedIn(browser, two.url, await signIn()), await Person.signedIn(browser, one.url, await signIn())];
    await Promise.all([phone, ...others].map(({ page }) => page.getByText("No conversations yet").waitFor()));
    await here.page.reload();
    const devices = here.page.getByRole("group", { name: "Where you are signed in" });
    await devices.getByText("Chrome on Linux").nth(2).waitFor();
    await devices.getByRole("listitem").first().getByText("This device").waitFor();
    await devices.getByText("127.0.0.1").first().waitFor();
    await devices.getByRole("button", { name: "Sign out: Firefox on Android" }).click();
    await phone.page.getByText("You were signed out on this device.").waitFor();
    await devices.getByText("Firefox on Android").waitFor({ state: "detached" });
    await devices.getByRole("button", { name: "Sign out everywhere else" }).click();
    await here.page.getByRole("dialog").getByRole("button", { name: "Sign out everywhere else" }).click();
    for (const other of others) await other.page.getByText("You were signed out on this device.").waitFor();
    await devices.getByText("You are signed in nowhere else.").waitFor();
    await here.page.reload();
    await devices.getByText("You are signed in nowhere else.").waitFor();
  });
});

describe("a group", () => {
  test("a device that was not there learns who has read, and who is online", async () => {
    const users = [await fleet.register("alice"), await fleet.register("bob"), await fleet.register("carol")] as const;
    const [created] = await commands(browser, one.url, users[0], [
      { type: "create_group", groupName: "Readers", initialMembers: [users[1].userId, users[2].userId] },
    ]);
    const groupId = (created as { groupId: string }).groupId;
    await commands(browser, one.url, users[0], [{ type: "send_group_message", groupId, content: "read me" }]);
    const bob = await Person.signedIn(browser, two.url, users[1], `/c/${groupId}`);
    await bob.sees("read me");
    await until("it is marked as read", async () => (await bob.page.title()) === "Chat");
    const alice = await Person.signedIn(browser, one.url, users[0], `/c/${groupId}`);
    await alice.status("read me", "read");
    await alice.act("read me", "Read by");
    const dialog = alice.page.getByRole("dialog");
    await dialog.getByText("Bob").waitFor();
    expect(await dialog.locator(".person").count()).toBe(1);
    await alice.page.keyboard.press("Escape");
    await alice.page.getByRole("button", { name: "Details", exact: true }).click();
    const member = (name: string) => alice.page.locator(".members .person").filter({ hasText: name });
    await member("Bob").locator(".presence").waitFor();
    expect(await member("Carol").locator(".presence").count()).toBe(0);
    const carol = await Person.signedIn(browser, two.url, users[2]);
    await member("Carol").locator(".presence").waitFor();
    await carol.page.close();
  });

  test("somebody who is found is seen to be online", async () => {
    const users = [await fleet.register("alice"), await fleet.register("bob"), await fleet.register("bob")] as const;
    const bob = await Person.signedIn(browser, two.url, users[1]);
    await bob.page.getByText("No conversations yet").waitFor();
    const alice = await Person.signedIn(browser, one.url, users[0], "/new");
    const found = alice.page.locator("button.person");
    const find = alice.page.getByLabel("Name or username");
    await find.fill(users[2].username);
    await found.getByText(users[2].username).waitFor();
    expect(await found.locator(".presence").count()).toBe(0);
    await find.fill(users[1].username);
    await found.getByText(users[1].username).waitFor();
    await found.locator(".presence").waitFor();
    await found.click();
    await alice.page.locator(".subtitle.is-online").waitFor();
  });

  test("members are chosen, mentioned, promoted, and the group is handed on", async () => {
    const users = [await fleet.register("alice"), await fleet.register("bob"), await fleet.register("carol")] as const;
    const alice = await Person.signedIn(browser, one.url, users[0], "/new/group");
    const bob = await Person.signedIn(browser, two.url, users[1], "/");
    const { page } = alice;
    await page.getByLabel("Name of the group").fill("The walkers");
    for (const user of users.slice(1)) {
      await page.getByLabel("Name or username").fill(user.username);
      await page.locator("button.person").click();
    }
    await page.getByRole("button", { name: "Create group" }).click();
    await page.getByText("3 members").waitFor();
    await bob.row("The walkers").click();
    await alice.composer.pressSequentially("dear @bo");
    await page.getByRole("option", { name: /Bob/ }).waitFor();
    await page.getByLabel("Search chats").focus();
    await page.getByRole("option", { name: /Bob/ }).waitFor({ state: "detached" });
    await alice.composer.focus();
    await page.getByRole("option", { name: /Bob/ }).waitFor();
    await alice.composer.press("Enter");
    await alice.composer.pressSequentially("welcome");
    await alice.composer.press("Enter");
    await bob.page.locator(".mention.me").getByText(`@${users[1].username}`).waitFor();
    await bob.send("thank you");
    await alice.sees("thank you");
    // Carol is offline. A user who answers has read, too.
    await alice.status(`dear @${users[1].username} welcome`, "read");
    await alice.act(`dear @${users[1].username} welcome`, "Read by");
    await page.getByRole("dialog").getByText("Bob").waitFor();
    expect(await page.getByRole("dialog").locator(".person").count()).toBe(1);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Details", exact: true }).click();
    const member = page.locator(".members .person").filter({ hasText: "Bob" });
    await member.getByRole("button").click();
    await page.getByRole("menuitem", { name: "Make admin" }).click();
    await member.getByText("Admin").waitFor();
    await member.getByRole("button").click();
    await page.getByRole("menuitem", { name: "Make owner" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make owner" }).click();
    await member.getByText("Owner").waitFor();
    await bob.page.getByRole("button", { name: "Details", exact: true }).click();
    await bob.page.locator(".members .person").filter({ hasText: "Carol" }).getByRole("button").click();
    await bob.page.getByRole("menuitem", { name: "Remove from the group" }).click();
    await bob.page.getByRole("dialog").getByRole("button", { name: "Remove from the group" }).click();
    await page.getByText("2 members").first().waitFor();
  });
});

describe("notifications", () => {
  /** The browser's own are out of sight: what the page asks for is kept in `notified`, and `away` is the page in the background. */
  function imitate(): void {
    const state = window as unknown as { away: boolean; notified: object[] };
    Object.assign(state, { away: false, notified: [] });
    Object.defineProperty(document, "hidden", { get: () => state.away });
    class Imitation {
      static permission = "granted";
      static requestPermission = () => Promise.resolve("granted");
      onclick?: () => void;
      constructor(
        readonly title: string,
        { body }: { body: string },
      ) {
        state.notified.push({ title, body });
        setTimeout(() => title === "Bob" && this.onclick?.());
      }
      close(): void {}
    }
    Object.defineProperty(window, "Notification", { value: Imitation });
  }

  test("come while nobody looks, lead to the conversation, and not from muted ones", async () => {
    const users = [await fleet.register("alice"), await fleet.register("bob"), await fleet.register("carol")] as const;
    const alice = await Person.open(browser, one.url);
    await alice.context.addInitScript(imitate);
    await alice.signIn(users[0], "/settings");
    const { page } = alice;
    const notified = () => page.evaluate(() => (window as unknown as { notified: object[] }).notified);
    const setAway = (isAway: boolean) => page.evaluate((isAway) => void ((window as unknown as { away: boolean }).away = isAway), isAway);
    await page.getByLabel("Show notifications for new messages").check();
    await alice.visit(direct(users[0], users[2]));
    const [bob, carol] = await Promise.all(users.slice(1).map((user) => Person.signedIn(browser, two.url, user, direct(users[0], user))));
    await carol?.send("about to be muted");
    await alice.sees("about to be muted");
    expect(await notified()).toEqual([]);
    await page.getByRole("button", { name: "Details", exact: true }).click();
    await page.getByRole("button", { name: "Mute", exact: true }).click();
    await page.getByRole("menuitem", { name: "For a day" }).click();
    await alice.row("Carol").getByText("Muted", { exact: true }).waitFor();
    await bob?.send("so that there is a conversation");
    await alice.row("Bob").waitFor();
    await setAway(true);
    await carol?.send("into the void");
    await alice.sees("into the void");
    await bob?.send("are you there?");
    await page.waitForURL(`**${direct(users[0], users[1])}`);
    await alice.sees("are you there?");
    expect(await notified()).toEqual([{ title: "Bob", body: "are you there?" }]);
  });
});

describe("the app", () => {
  test("keeps the theme and the language that one chose", async () => {
    const alice = await Person.signedIn(browser, one.url, await fleet.register("alice"), "/settings", { colorScheme: "light" });
    const { page } = alice;
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("radio", { name: "Dark" }).click();
    await until("it is dark", async () => (await ground()) !== light);
    await page.getByRole("radio", { name: "Deutsch" }).click();
    await page.getByRole("heading", { name: "Einstellungen" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Einstellungen" }).waitFor();
    expect(await ground()).not.toBe(light);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe("de");
    await page.getByRole("radio", { name: "System" }).click();
    await until("it is as the system", async () => (await ground()) === light);
  });

  test("can be installed", async () => {
    const alice = await Person.signedIn(browser, one.url, await fleet.register("alice"));
    const { page } = alice;
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    const devtools = await alice.context.newCDPSession(page);
    const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
    // Each person of the tests has a window of this kind.
    expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== "in-incognito")).toEqual([]);
  });
});

describe("settings of a conversation", () => {
  test("muted, pinned and unread are marks that last", async () => {
    const { alice, bob } = await pair();
    await bob.send("please mute me");
    await alice.sees("please mute me");
    const { page } = alice;
    await page.getByRole("button", { name: "Details", exact: true }).click();
    await page.getByRole("button", { name: "Mute", exact: true }).click();
    await page.getByRole("menuitem", { name: "For an hour" }).click();
    await alice.row("Bob").getByText("Muted").waitFor();
    await page.getByRole("button", { name: "Pin to the top" }).click();
    await alice.row("Bob").getByText("Pinned").waitFor();
    await page.getByRole("button", { name: "Mark as unread" }).click();
    await page.goto(one.url);
    await alice.row("Bob").getByText("Muted").waitFor();
    await alice.row("Bob").getByText("Pinned").waitFor();
    await alice.row("Bob").getByText("Marked as unread").waitFor();
    await alice.row("Bob").click();
    await alice.row("Bob").getByText("Marked as unread").waitFor({ state: "detached" });
  });

  test("a blocked user cannot write, and gets an error", async () => {
    const { alice, bob } = await pair();
    const { page } = alice;
    await page.getByRole("button", { name: "Details", exact: true }).click();
    await page.getByRole("button", { name: "Block Bob" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Block Bob" }).click();
    await page.getByRole("button", { name: "Unblock Bob" }).waitFor();
    await bob.send("can you hear me?");
    await bob.status("can you hear me?", "failed");
    await page.getByRole("button", { name: "Unblock Bob" }).click();
    await page.getByRole("button", { name: "Block Bob" }).waitFor();
    await bob.page.getByRole("button", { name: "Try again" }).click();
    await alice.sees("can you hear me?");
  });
});

describe("the keyboard", () => {
  test("is enough to find, read, answer and leave", async () => {
    const { alice, bob } = await pair();
    await bob.send("by hand");
    await alice.sees("by hand");
    const { page } = alice;
    await page.keyboard.press("Escape");
    await page.waitForURL(`${one.url}/`);
    // Until it is in the list, another Bob would be found first.
    await alice.row("Bob").waitFor();
    await page.keyboard.press("Control+k");
    await until("the search has the focus", () => hasFocus(page.getByRole("combobox")));
    await page.keyboard.type("bo");
    await page.getByRole("option", { name: /Bob/ }).first().waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/c\//);
    await until("the composer has the focus", () => hasFocus(alice.composer));
    await alice.sees("by hand");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Shift+Tab");
    await until("the last message has the focus", () => page.evaluate(() => document.activeElement?.closest("article") !== null));
    await page.locator("article.message").last().focus();
    await page.keyboard.press("Enter");
    await page.getByRole("menu").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("menu").waitFor({ state: "detached" });
    await page.locator("article.message").last().focus();
    await page.keyboard.press("r");
    await until("the composer has the focus", () => hasFocus(alice.composer));
    await page.keyboard.type("by keyboard");
    await page.keyboard.press("Enter");
    await bob.message("by keyboard").locator(".quote").getByText("by hand").waitFor();
    await page.keyboard.press("Alt+ArrowDown");
    await alice.composer.waitFor();
  });
});
