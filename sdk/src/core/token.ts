/** Why a token is asked for. */
export type TokenReason = "initial" | "expired" | "invalid" | "renew";

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
