// `MEASURE=1 cargo xtask test web`: the figures of docs/web.md, with a conversation of 10,000 messages.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, CDPSession } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commands, direct, launch, Person } from "./browser";
import { type Fleet, startFleet, until, type User } from "./fleet";

const MESSAGES = Number(process.env["MESSAGES"] ?? 10_000);
const DOCUMENT = join(import.meta.dirname, "../../docs/web.md");
const FIGURES = 7;

let fleet: Fleet;
let browser: Browser;
let users: [User, User];
const figures: string[] = [];

beforeAll(async () => {
  [fleet, browser] = await Promise.all([startFleet(), launch()]);
  users = [await fleet.register("alice"), await fleet.register("bob")];
  const texts = ["Yes", "I think that is right, but let me look at it again tomorrow.", "See https://example.org/a/long/path", "Lorem ipsum dolor sit amet, ".repeat(8)];
  const half = (to: User) =>
    Array.from({ length: MESSAGES / 2 }, (_, index) => ({ type: "send_private_message", recipientId: to.userId, content: `${index}: ${texts[index % texts.length]}` }));
  const [alice, bob] = users;
  await Promise.all([commands(browser, fleet.gateways[0].url, alice, half(bob), 100), commands(browser, fleet.gateways[1].url, bob, half(alice), 100)]);
});

afterAll(async () => {
  await browser?.close();
  await fleet?.stop();
  const table = `| what | target | measured |\n|---|---:|---:|\n${figures.join("\n")}\n`;
  const [before, after] = readFileSync(DOCUMENT, "utf8").split(/(?<=<!-- measured -->\n)[^]*(?=<!-- until here -->)/);
  if (figures.length === FIGURES) writeFileSync(DOCUMENT, `${before}${table}${after}`);
  process.stdout.write(`\n${table}`);
});

function percentile(values: number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? 0;
}

async function slowed(person: Person, rate: number): Promise<CDPSession> {
  const session = await person.context.newCDPSession(person.page);
  await session.send("Emulation.setCPUThrottlingRate", { rate });
  return session;
}

test("the start", async () => {
  const person = await Person.signedIn(browser, fleet.gateways[0].url, users[0]);
  await person.page.locator(".row").first().waitFor();
  await slowed(person, 4);
  const start = Date.now();
  await person.page.reload({ waitUntil: "commit" });
  await person.page.locator(".row").first().waitFor();
  figures.push(`| list usable, files and list cached, 4 × CPU slowdown | 1,500 ms | ${Date.now() - start} ms |`);
});

test("a long conversation", async () => {
  const person = await Person.signedIn(browser, fleet.gateways[0].url, users[0], direct(...users));
  const { page } = person;
  await page.locator("article").first().waitFor();
  const session = await slowed(person, 1);

  // Load older pages, one after the other: the visible row must not move.
  let most = 0;
  for (let pages = 0; pages < MESSAGES / 50 - 1; pages++) {
    const moved = await page.evaluate(async () => {
      const scroller = document.querySelector(".scroller") as HTMLElement;
      const first = () => document.querySelector("article")?.getAttribute("aria-setsize");
      const before = first();
      scroller.scrollTop = 900;
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      await frame();
      await frame();
      const row = [...document.querySelectorAll<HTMLElement>("article")].find((article) => article.getBoundingClientRect().top > 200);
      const seq = row?.dataset["seq"];
      const top = row?.getBoundingClientRect().top ?? 0;
      const end = performance.now() + 5_000;
      while (first() === before && performance.now() < end) await frame();
      await frame();
      await frame();
      const now = document.querySelector(`[data-seq="${seq}"]`)?.getBoundingClientRect().top ?? Number.NaN;
      return first() === before ? undefined : Math.abs(now - top);
    });
    if (moved === undefined) break;
    most = Math.max(most, moved);
  }
  const size = Number(await page.locator("article").first().getAttribute("aria-setsize"));
  figures.push(`| messages loaded | 10,000 | ${size.toLocaleString("en")} |`, `| most that a row moved when older ones came in front | 1 px | ${most.toFixed(1)} px |`);

  const frames = await page.evaluate(async () => {
    const scroller = document.querySelector(".scroller") as HTMLElement;
    const times: number[] = [];
    let last = performance.now();
    for (let step = 0; step < 400; step++) {
      scroller.scrollTop = (step / 400) * scroller.scrollHeight;
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    return times;
  });
  figures.push(`| frame while scrolling through all, p95 | 25 ms | ${percentile(frames, 0.95).toFixed(1)} ms |`);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  figures.push(`| heap | 60 MB | ${(usedSize / 1e6).toFixed(1)} MB |`);

  await page.evaluate(() => document.querySelector(".scroller")?.scrollTo({ top: Number.MAX_SAFE_INTEGER }));
  await person.composer.focus();
  await page.evaluate(() => {
    const state = window as unknown as { painted: number[] };
    state.painted = [];
    document.querySelector("textarea")?.addEventListener("input", (event) => {
      requestAnimationFrame(() => setTimeout(() => state.painted.push(performance.now() - event.timeStamp)));
    });
  });
  const painted = () => page.evaluate(() => (window as unknown as { painted: number[] }).painted);
  for (let count = 1; count <= 30; count++) {
    await page.keyboard.type("a");
    await until("the keystroke is painted", async () => (await painted()).length === count);
  }
  const keystrokes = await painted();
  figures.push(`| keystroke to paint, p95 | 50 ms | ${percentile(keystrokes, 0.95).toFixed(1)} ms |`);
  await person.composer.fill("");

  await page.evaluate(() => {
    const state = window as unknown as { longest: number };
    state.longest = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) state.longest = Math.max(state.longest, entry.duration);
    }).observe({ type: "longtask" });
  });
  const many = Array.from({ length: 100 }, (_, index) => ({ type: "send_private_message", recipientId: users[0].userId, content: `burst ${index}` }));
  const start = Date.now();
  await commands(browser, fleet.gateways[1].url, users[1], many, 10);
  const seconds = (Date.now() - start) / 1000;
  await until("the last one is shown", () => page.locator("article").getByText("burst 99", { exact: true }).isVisible());
  const longest = await page.evaluate(() => (window as unknown as { longest: number }).longest);
  figures.push(`| longest task with ${Math.round(100 / seconds)} messages arriving a second | 50 ms | ${longest ? `${longest.toFixed(0)} ms` : "none over 50 ms"} |`);
  expect(size).toBeGreaterThan(MESSAGES * 0.9);
});
