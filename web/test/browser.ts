// Chromium, and the actions of a user in it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { LOGS, type User } from "./fleet";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1280, height: 800 };

export function launch(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A browser profile of one person, until the end of the test. Anything that the page reports as an error fails the test. */
export class Person {
  readonly errors: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
    readonly url: string,
  ) {
    this.watch(page);
  }

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await browser.newContext({ viewport: DESKTOP, locale: "en-GB", ...options });
    context.setDefaultTimeout(10_000);
    const person = new Person(context, await context.newPage(), url);
    onTestFinished(async ({ task }) => {
      if (task.result?.state === "fail") await person.#keepPicture(task.name);
      await context.close();
      expect(person.errors).toEqual([]);
    });
    return person;
  }

  /** Signed in already, at a path. */
  static async signedIn(browser: Browser, url: string, user: User, path = "/", options: BrowserContextOptions = {}): Promise<Person> {
    const person = await Person.open(browser, url, options);
    await person.signIn(user, path);
    return person;
  }

  async signIn(user: User, path: string): Promise<void> {
    const { page, url } = this;
    await page.goto(`${url}/icon.svg`);
    await page.evaluate((token) => {
      return new Promise<void>((resolve, reject) => {
        const request = indexedDB.open("chat-web", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("values");
        request.onerror = () => reject(request.error ?? new Error("no IndexedDB"));
        request.onsuccess = () => {
          // The page is left at once: a success of the request alone would not outlive it.
          const transaction = request.result.transaction("values", "readwrite");
          transaction.objectStore("values").put(token, "token");
          transaction.oncomplete = () => (request.result.close(), resolve());
        };
      });
    }, user.token);
    await this.goto(path);
  }

  watch(page: Page): void {
    page.on("pageerror", (error) => this.errors.push(`${error}`));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !/WebSocket connection|Failed to load resource|net::/.test(text)) this.errors.push(text);
    });
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(this.url + path);
  }

  /** As by a link, without loading the page again. */
  async visit(path: string): Promise<void> {
    await this.page.evaluate((path) => history.pushState(null, "", path), path);
  }

  get composer(): Locator {
    return this.page.locator(".composer textarea");
  }

  message(text: string): Locator {
    return this.page.locator("article.message").filter({ has: this.page.locator(".content").getByText(text, { exact: true }) });
  }

  row(name: string): Locator {
    return this.page.locator(".inbox .row").filter({ hasText: name });
  }

  async send(text: string): Promise<void> {
    await this.composer.fill(text);
    await this.composer.press("Enter");
  }

  async sees(text: string): Promise<void> {
    await this.message(text).first().waitFor();
  }

  async status(text: string, status: string): Promise<void> {
    await this.message(text).locator(`[data-status="${status}"]`).waitFor();
  }

  async act(text: string, action: string): Promise<void> {
    await this.message(text).hover();
    await this.message(text).locator(".more").click();
    await this.page.getByRole("menuitem", { name: action, exact: true }).click();
  }

  async #keepPicture(test: string): Promise<void> {
    const path = join(LOGS, `${test.replace(/\W+/g, "-")}-${Date.now()}.png`);
    await this.page.screenshot({ path }).then(() => process.stdout.write(`A picture is in ${path}\n`), () => {});
  }
}

/** Returns the accessibility rules that the page violates, and where. */
export async function axe(page: Page): Promise<string[]> {
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))).then(() => {}));
  // The policy forbids inline scripts, not those of the debugger.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  return await page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.html.slice(0, 160) + " — " + (node.any[0]?.message ?? node.all[0]?.message ?? "")).join("\\n  ")))`);
}

export function direct(a: User, b: User): string {
  return BigInt(a.userId) < BigInt(b.userId) ? `/c/conv_${a.userId}_${b.userId}` : `/c/conv_${b.userId}_${a.userId}`;
}

/** Commands of a user on a connection of its own, so many at once (by default each after the answer to the one before); returns the answers. */
export async function commands(browser: Browser, url: string, user: User, list: object[], atOnce = 1): Promise<Record<string, unknown>[]> {
  const page = await browser.newPage();
  await page.goto(`${url}/icon.svg`);
  const answers = await page.evaluate(
    ([address, token, list, atOnce]) => {
      return new Promise<Record<string, unknown>[]>((resolve, reject) => {
        const socket = new WebSocket(address, "chat.v1");
        const answers: Record<string, unknown>[] = [];
        let [sent, answered] = [0, 0];
        const send = (index: number) => socket.send(JSON.stringify({ ...list[index], requestId: String(index) }));
        const next = () => {
          if (answered === list.length) return void (socket.close(), resolve(answers));
          while (sent < list.length && sent - answered < atOnce) send(sent++);
        };
        socket.onmessage = ({ data }) => {
          const event = JSON.parse(data as string) as Record<string, unknown>;
          if (event["type"] === "connected") socket.send(JSON.stringify({ type: "authenticate", token }));
          else if (event["type"] === "auth_success") next();
          else if (event["code"] === "SERVICE_UNAVAILABLE") setTimeout(send, Number(event["retryAfter"]) * 1_000, Number(event["requestId"]));
          else if (event["type"] === "error") reject(new Error(String(data)));
          else if (event["requestId"] !== undefined) {
            answers[Number(event["requestId"])] = event;
            answered++;
            next();
          }
        };
        socket.onclose = () => reject(new Error("closed"));
      });
    },
    [`${url.replace("http", "ws")}/ws`, user.token, list, atOnce] as const,
  );
  await page.close();
  return answers;
}
