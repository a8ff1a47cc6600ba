/**
 * Why a token is requested: it is the first one, or the last one has expired, was rejected for another reason, or
 * expires within a minute.
 */
export type TokenReason = "initial" | "expired" | "invalid" | "renew";

/** Returns a token of the user. If it throws or returns no token, it is called again after a delay. It has 30 s. */
export type GetToken = (request: { reason: TokenReason }) => Promise<string> | string;

/** The token's `exp` in epoch milliseconds, if it can be read. */
export function expiryOf(token: string): number | undefined {
  try {
    const part = token.split(".")[1] ?? "";
    const claims = JSON.parse(atob(part.replace(/-/g, "+").replace(/_/g, "/"))) as { exp?: unknown };
    return typeof claims.exp === "number" ? claims.exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
