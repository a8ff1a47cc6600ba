/** When to try again. All values are in milliseconds. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** The number of doublings up to the longest delay. */
const MOST_DOUBLINGS = 6;
const RESTART_WITHIN_MS = 5_000;
const SHORTEST_REFUSED_MS = 30_000;
const LONGEST_REFUSED_MS = 300_000;

/** Exponential backoff with full jitter. */
export function backoff(attempt: number, random: () => number): number {
  return random() * Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
}

/**
 * The attempt number to continue with after a connection was online for this many steps: an unstable network is not a
 * failing server.
 */
export function afterOnline(attempt: number, steps: number): number {
  return Math.max(0, Math.min(attempt, MOST_DOUBLINGS) - Math.max(0, Math.floor(steps)));
}

/** The server is restarting: its clients reconnect spread over a few seconds. */
export function afterRestart(attempt: number, random: () => number): number {
  return Math.min(backoff(attempt + 4, random), random() * RESTART_WITHIN_MS);
}

/** Not before the time that the server requested, and up to a fifth later. */
export function notBefore(retryAfterSeconds: number, random: () => number): number {
  return retryAfterSeconds * 1_000 * (1 + random() / 5);
}

/** A quick retry would be refused again. */
export function afterRefusal(attempt: number, random: () => number): number {
  const most = Math.min(LONGEST_REFUSED_MS, SHORTEST_REFUSED_MS * 2 ** attempt);
  return SHORTEST_REFUSED_MS + random() * (most - SHORTEST_REFUSED_MS);
}
