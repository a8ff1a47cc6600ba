// The error that the client's promises reject with.
import type { AuthErrorCode, ErrorCode } from "../generated/protocol";

/**
 * Codes of failures that the client itself reports: no answer in time, aborted by the signal, the client was closed, the connection
 * was lost before the answer, the message was discarded, the state is `refused` or `replaced`, and there is no `WebSocket`.
 */
export type LocalErrorCode = "TIMEOUT" | "ABORTED" | "CLOSED" | "CONNECTION_LOST" | "DISCARDED" | "REFUSED" | "NO_WEBSOCKET";

/** What the server said about a rejected command; never contains what was sent. */
export interface ErrorDetails {
  field?: string | undefined;
  /** Seconds. */
  retryAfter?: number | undefined;
  errorId?: string | undefined;
  details?: string | undefined;
}

/** The only error that the promises of this package reject with. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  constructor(
    readonly code: ErrorCode | AuthErrorCode | LocalErrorCode,
    message: string,
    readonly server: ErrorDetails = {},
  ) {
    super(message);
  }
}
