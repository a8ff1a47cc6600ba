// Tabs of a real Chromium: one socket, a leader that closes or crashes, and IndexedDB that is full, blocked or missing.
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { ChatClient } from "../src/index";
import { ChatStore } from "../src/store";
import { Page as Rendered } from "./browser/conversation";
import { type Served, serve } from "./browser/server";
import type { Tab } from "./browser/page";
import { ME, PEER } from "./server";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const DIRECT = `conv_${ME}_${PEER}`;

declare const tab: Tab;

// Left out only where that is visible.
const isMissing = !existsSync(CHROMIUM) && !process.env.CI;

describe.skipIf(isMissing)("a real browser", { timeout: 60_000 }, () => {
  let browser: Browser;
  let context: BrowserContext;
  let served: Served;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  }, 60_000);
  afterAll(() => browser?.close());
  beforeEach(async () => {
    served = await serve();
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context.close();
    await served.close();
  });

  async function open(options: { isShared?: boolean; persist?: boolean; before?: () => void } = {}): Promise<Page> {
    const page = await context.newPage();
    if (options.before) await page.addInitScript(options.before);
    await page.goto(served.page);
    await page.waitForFunction("globalThis.tab");
    const { isShared = true, persist = false } = options;
    await page.evaluate((start) => tab.start(start), { url: served.url, isShared, persist });
    return page;
  }

  const online = (page: Page) =>
    page.waitForFunction(() => tab.state().name === "online", null, { timeout: 20_000 }).catch(async (error: unknown) => {
      throw new Error(`not online: ${JSON.stringify(await page.evaluate(() => tab.state()))}`, { cause: error });
    });
  const shows = (page: Page, content: string) =>
    page.waitForFunction((wanted) => tab.state().arrived.includes(wanted), content, { timeout: 20_000 });
  const arrived = (page: Page) => page.evaluate(() => tab.state().arrived);

  test("three tabs share one socket and one token, and all get everything", async () => {
    const pages = [await open(), await open(), await open()];
    await Promise.all(pages.map(online));
    expect(served.count()).toBe(1);
    const seqs = await Promise.all(pages.map((page, place) => page.evaluate((content) => tab.send(content), `tab ${place}`)));
    expect(new Set(seqs)).toEqual(new Set([1, 2, 3]));
    served.server.store(DIRECT, PEER, "news");
    await Promise.all(pages.map((page) => shows(page, "news")));
    const [first, ...others] = await Promise.all(pages.map(arrived));
    expect(first).toHaveLength(4);
    for (const other of others) expect(other).toEqual(first);
    const tokens = await Promise.all(pages.map((page) => page.evaluate(() => tab.state().tokens)));
    expect(tokens.reduce((sum, count) => sum + count)).toBe(1);
  });

  test("what one tab does reaches the others on the same socket", async () => {
    const pages = [await open(), await open()];
    await Promise.all(pages.map(online));
    await pages[1]?.evaluate(() => tab.send("mine"));
    await Promise.all(pages.map((page) => shows(page, "mine")));
    await Promise.all(pages.map((page) => page.evaluate((id) => tab.read(id), DIRECT)));
    const message = [...served.server.conversation(DIRECT).messages.values()][0];
    await pages[1]?.evaluate(([id, content]) => tab.edit(id as string, content as string), [message?.messageId, "edited"]);
    for (const page of pages) {
      await page.waitForFunction((id) => tab.read(id)?.[0] === "edited", DIRECT, { timeout: 20_000 });
    }
  });

  test.each(["closed", "crashed"])("another tab leads when the leader has %s", async (how) => {
    const leader = await open();
    await online(leader);
    const pages = [await open(), await open()];
    await Promise.all(pages.map(online));
    expect(served.count()).toBe(1);
    if (how === "closed") await leader.close();
    else {
      const crashed = leader.waitForEvent("crash");
      leader.goto("chrome://crash").catch(() => {});
      await crashed;
    }
    served.server.store(DIRECT, PEER, "meanwhile");
    const sent = await Promise.all(pages.map((page, place) => page.evaluate((content) => tab.send(content), `tab ${place}`)));
    expect(sent).toHaveLength(2);
    const all = ["meanwhile", "tab 0", "tab 1"];
    await Promise.all(pages.flatMap((page) => all.map((content) => shows(page, content))));
    await Promise.all(pages.map(online));
    expect(served.count()).toBe(1);
    const contents = [...served.server.conversation(DIRECT).messages.values()].map(({ content }) => content);
    expect([...contents].sort()).toEqual(all);
    for (const page of pages) expect(await arrived(page)).toEqual(contents);
  });

  test("a tab that comes later opens in the epoch that has begun meanwhile", async () => {
    served.server.epoch = "before";
    const first = await open();
    await online(first);
    served.server.epoch = "after";
    served.server.announceEpoch();
    await first.waitForFunction(() => tab.state().epochs.includes("after"));
    const later = await open();
    await online(later);
    expect(await later.evaluate(() => tab.state().epochs[0])).toBe("after");
  });

  test("a leader that hangs is replaced", async () => {
    const leader = await open();
    await online(leader);
    leader.evaluate(() => {
      for (;;);
    }).catch(() => {});
    const page = await open();
    await online(page);
    expect(await page.evaluate(() => tab.send("here"))).toBe(1);
  });

  test("without Web Locks each tab has its own connection", async () => {
    const before = () => Object.defineProperty(navigator, "locks", { value: undefined });
    const pages = [await open({ before }), await open({ before })];
    await Promise.all(pages.map(online));
    expect(served.count()).toBe(2);
    await pages[0]?.evaluate(() => tab.send("mine"));
    await Promise.all(pages.map((page) => shows(page, "mine")));
  });

  test.each([
    ["missing", () => Object.defineProperty(globalThis, "indexedDB", { value: undefined })],
    [
      "forbidden",
      () => {
        indexedDB.open = () => {
          throw new DOMException("denied", "SecurityError");
        };
      },
    ],
    [
      "full",
      () => {
        IDBObjectStore.prototype.put = () => {
          throw new DOMException("full", "QuotaExceededError");
        };
      },
    ],
    [
      "blocked",
      () => {
        indexedDB.open = () => ({}) as IDBOpenDBRequest;
      },
    ],
  ])("the client works when IndexedDB is %s", async (_, before) => {
    const page = await open({ persist: true, before: before as () => void });
    await online(page);
    expect(await page.evaluate(() => tab.send("hello"))).toBe(1);
    await shows(page, "hello");
  });

  test("hooks take over what a server rendered, and follow the store", async () => {
    served.server.store(DIRECT, PEER, "first");
    const store = new ChatStore(new ChatClient({ url: "ws://fake", getToken: () => "" }));
    const html = renderToString(createElement(Rendered, { store, id: DIRECT }));
    expect(html).toBe("<p>idle</p>");
    const page = await open();
    await online(page);
    await page.evaluate(([html, id]) => tab.hydrate(html as string, id as string), [html, DIRECT]);
    await page.waitForFunction(() => tab.shown() === "online first");
    served.server.store(DIRECT, PEER, "second");
    await page.waitForFunction(() => tab.shown() === "online first second");
    expect(await page.evaluate(() => tab.state().log.filter((line) => !line.startsWith("state ")))).toEqual([]);
  });

  test("a message sent without a connection is sent by the next tab", async () => {
    served.server.refusal = { type: "error", code: "MAX_CONNECTIONS_EXCEEDED", retryAfter: 1 };
    const page = await open({ persist: true });
    void page.evaluate(() => void tab.send("kept"));
    await page.waitForFunction(() => tab.state().outbox === 1);
    await page.close();
    served.server.refusal = undefined;
    const next = await open({ persist: true });
    await online(next);
    await shows(next, "kept");
    expect(served.server.conversation(DIRECT).messages.size).toBe(1);
  });
});
