/** When to try again. All values are milliseconds. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** Doublings up to the longest delay. */
const MOST_DOUBLINGS = 6;
const RESTART_WITHIN_MS = 5_000;
const SHORTEST_REFUSED_MS = 30_000;
const LONGEST_REFUSED_MS = 300_000;

/** Full jitter, doubling. */
export function backoff(attempt: number, random: () => number): number {
  return random() * Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
}

/** The attempt to continue with after a connection was online for this many steps: a network that comes and goes is not a failing server. */
export function afterOnline(attempt: number, steps: number): number {
  return Math.max(0, Math.min(attempt, MOST_DOUBLINGS) - Math.max(0, Math.floor(steps)));
}

/** The server goes away for a restart: its clients come back spread over a few seconds. */
export function afterRestart(attempt: number, random: () => number): number {
  return Math.min(backoff(attempt + 4, random), random() * RESTART_WITHIN_MS);
}

/** Not before the server said, and up to a fifth later. */
export function notBefore(retryAfterSeconds: number, random: () => number): number {
  return retryAfterSeconds * 1_000 * (1 + random() / 5);
}

/** The same would happen again soon. */
export function afterRefusal(attempt: number, random: () => number): number {
  const most = Math.min(LONGEST_REFUSED_MS, SHORTEST_REFUSED_MS * 2 ** attempt);
  return SHORTEST_REFUSED_MS + random() * (most - SHORTEST_REFUSED_MS);
}
