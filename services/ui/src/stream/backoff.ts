const CAP_MS = 15_000;

/** Time until the next attempt, in milliseconds: doubled each time up to a cap, half of it by chance. */
export function backoff(attempt: number, firstMs: number, random: () => number = Math.random): number {
  const full = Math.min(CAP_MS, firstMs * 2 ** Math.min(attempt, 20));
  return full / 2 + (full / 2) * random();
}
