// Signing in: what the server offers, its own accounts, and the demo users of a development server.
export interface About {
  /** `builtin`: accounts of this server; `host`: the page around the client gives it a token. */
  auth: "builtin" | "host";
  /** Origins of the pages that may embed the client. */
  embeddedBy: string[];
}

export interface DemoUser {
  username: string;
  token: string;
}

export class AccountError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

async function request(path: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: "omit", cache: "no-store" });
  } catch {
    throw new AccountError("UNREACHABLE", "The server cannot be reached");
  }
  const body = (await response.json().catch(() => ({}))) as { code?: string; message?: string };
  if (!response.ok) throw new AccountError(body.code ?? "INTERNAL_ERROR", body.message ?? response.statusText);
  return body;
}

function post(path: string, body: object, token?: string): Promise<unknown> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  return request(path, { method: "POST", headers, body: JSON.stringify(body) });
}

export async function loadAbout(): Promise<About> {
  return (await request("/web.json", {})) as About;
}

/** Only a development server's page has a list of them. */
export async function loadDemoUsers(): Promise<DemoUser[]> {
  const path = document.querySelector<HTMLMetaElement>('meta[name="demo-users"]')?.content;
  return path ? ((await request(path, {}).catch(() => [])) as DemoUser[]) : [];
}

export async function signIn(username: string, password: string): Promise<string> {
  return ((await post("/api/auth/login", { username, password })) as { token: string }).token;
}

export async function register(username: string, password: string, displayName: string): Promise<string> {
  const body = displayName ? { username, password, displayName } : { username, password };
  return ((await post("/api/auth/register", body)) as { token: string }).token;
}

/** Fails if the server has no built-in accounts; the token is forgotten here in any case. */
export async function revoke(token: string): Promise<void> {
  await post("/api/auth/logout", {}, token).catch(() => {});
}

/** What a token says; the server decides. */
function claimsOf(token: string): { sub?: unknown; userId?: unknown; jti?: unknown } {
  try {
    const part = token.split(".")[1] ?? "";
    return JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as object;
  } catch {
    return {};
  }
}

/** The user that a token is for. */
export function userOf(token: string): string | undefined {
  const claims = claimsOf(token);
  const id = claims.sub ?? claims.userId;
  return typeof id === "string" || typeof id === "number" ? String(id) : undefined;
}

/** The server's name of the sign-in that a token stands for. */
export function signInOf(token: string): string | undefined {
  const { jti } = claimsOf(token);
  return typeof jti === "string" ? jti : undefined;
}
