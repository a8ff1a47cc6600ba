// What the server says about the client's files holds in a browser: the policy, the frame around it, and the sizes.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, Person } from "./browser";
import { type Fleet, startFleet, type User } from "./fleet";

const DIST = join(import.meta.dirname, "../dist");
const MAX_SCRIPT_KB = 130;
const MAX_STYLE_KB = 12;

let fleet: Fleet;
let browser: Browser;
let allowed: Host;
let other: Host;

interface Host {
  server: Server;
  origin: string;
  frame: { url: string; token: string };
}

/** A page on another origin that embeds the client and answers its requests for a token. */
async function host(): Promise<Host> {
  const frame = { url: "", token: "" };
  const server = createServer((_, response) => {
    const client = new URL(frame.url).origin;
    response.setHeader("Content-Type", "text/html");
    response.end(`<iframe src="${frame.url}" width="900" height="600"></iframe><script>
      window.asked = 0;
      addEventListener("message", ({ data, origin, source }) => {
        if (origin !== ${JSON.stringify(client)} || data.type !== "chat:token-needed") return;
        window.asked++;
        source.postMessage({ type: "chat:token", token: ${JSON.stringify(frame.token)} }, origin);
      });
    </script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as { port: number }).port}`, frame };
}

let user: User;

beforeAll(async () => {
  [allowed, other] = await Promise.all([host(), host()]);
  [fleet, browser] = await Promise.all([startFleet({ FRAME_ANCESTORS: allowed.origin }), launch()]);
  user = await fleet.register("alice");
  for (const { frame } of [allowed, other]) {
    frame.url = `${fleet.gateways[0].url}/`;
    frame.token = user.token;
  }
});

afterAll(async () => {
  await browser?.close();
  allowed?.server.close();
  other?.server.close();
  await fleet?.stop();
});

describe("the policy", () => {
  test("lets no inline script of the page run, nor an inline style", async () => {
    const person = await Person.open(browser, fleet.gateways[0].url);
    const { page } = person;
    // As if somebody had got markup into the page: the answer is the server's, with its policy, but for the two elements.
    await page.route("**/", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace("<head>", "<head><script>window.owned = true</script><style>body { display: none }</style>");
      await route.fulfill({ response, body });
    });
    await person.goto("/");
    await page.getByLabel("Username").waitFor();
    expect(await page.evaluate(() => ["owned" in window, getComputedStyle(document.body).display])).toEqual([false, "block"]);
    expect(person.errors.splice(0)).toEqual([expect.stringMatching(/inline script/), expect.stringMatching(/inline style/)]);
  });

  test("lets nothing be turned into markup or code", async () => {
    const person = await Person.signedIn(browser, fleet.gateways[0].url, user);
    await person.page.getByRole("link", { name: "Start a chat" }).waitFor();
    const outcome = await person.page.evaluate(async () => {
      // What the debugger itself runs may do anything; what comes after a timer is the page's.
      await new Promise((resolve) => setTimeout(resolve));
      const attempts: Record<string, () => void> = {
        markup: () => (document.body.innerHTML = "<p>no</p>"),
        script: () => {
          const script = document.createElement("script");
          script.append("window.owned = true");
          document.body.append(script);
        },
        code: () => void new Function("window.owned = true")(),
        elsewhere: () => {
          const script = document.createElement("script");
          script.setAttribute("src", "https://example.org/a.js");
          document.body.append(script);
        },
      };
      const thrown = Object.entries(attempts).flatMap(([name, attempt]) => {
        try {
          attempt();
          return [];
        } catch {
          return [name];
        }
      });
      return { thrown, owned: "owned" in window };
    });
    expect(outcome.owned).toBe(false);
    expect(outcome.thrown).toEqual(["markup", "code", "elsewhere"]);
    expect(person.errors.splice(0).filter((error) => !error.includes("'Trusted"))).toEqual([]);
  });
});

describe("a page around the client", () => {
  test("signs in its user, if its origin is allowed", async () => {
    const page = await browser.newPage();
    await page.goto(allowed.origin);
    await page.frameLocator("iframe").getByRole("heading", { name: "Chats" }).waitFor();
    expect(await page.evaluate(() => (window as unknown as { asked: number }).asked)).toBeGreaterThan(0);
    await page.close();
  });

  test("of another origin cannot show it at all", async () => {
    const page = await browser.newPage();
    const refused = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
    await page.goto(other.origin);
    await refused;
    expect(await page.evaluate(() => (window as unknown as { asked: number }).asked)).toBe(0);
    await page.close();
  });
});

describe("the files", () => {
  const kilobytes = (path: string) => statSync(join(DIST, `${path}.gz`)).size / 1000;
  const page = readFileSync(join(DIST, "index.html"), "utf8");
  const named = (pattern: RegExp) => [...page.matchAll(pattern)].map((match) => match[1] ?? "");

  test("of the start are small", () => {
    const scripts = named(/(?:src|modulepreload" crossorigin href)="(\/assets\/[^"]+\.js)"/g);
    const styles = named(/href="(\/assets\/[^"]+\.css)"/g);
    expect(scripts.length).toBeGreaterThan(0);
    expect(styles.length).toBeGreaterThan(0);
    const sum = (paths: string[]) => paths.reduce((total, path) => total + kilobytes(path), 0);
    expect(sum(scripts)).toBeLessThanOrEqual(MAX_SCRIPT_KB);
    expect(sum(styles)).toBeLessThanOrEqual(MAX_STYLE_KB);
  });

  test("name no other server", () => {
    const sources = readdirSync(join(DIST, "assets")).filter((name) => /\.(js|css)$/.test(name));
    for (const name of sources) {
      const text = readFileSync(join(DIST, "assets", name), "utf8");
      const named = [...text.matchAll(/https?:\/\/([\w.-]+)/g)].map((match) => match[1]);
      // Names of XML namespaces, React's explanations of its errors, and the picker's default, which is set to this server.
      const known = ["www.w3.org", "react.dev", "cdn.jsdelivr.net"];
      expect(named.filter((host) => !known.includes(host ?? ""))).toEqual([]);
    }
  });
});
