/** Why a token is asked for: the first one, the last one has expired, was rejected otherwise, or expires within a minute. */
export type TokenReason = "initial" | "expired" | "invalid" | "renew";

/** Gives a token of the user. What it throws, and no token at all, is asked for again after the backoff; it has 30 s. */
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
