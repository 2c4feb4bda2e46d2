import type { Reader } from "./eventLog";
import { numberOf, type RunEvent } from "./wire";

/** Hops that a run has made and may still make, by its journal. */
export class HopBudget implements Reader {
  max = 0;
  remaining: number | null = null;

  reset(): void {
    Object.assign(this, new HopBudget());
  }

  add(event: RunEvent): void {
    if (event.type === "RunAccepted") this.max = numberOf(event.data, "max_hops") ?? 0;
    this.remaining = numberOf(event.data, "remaining_hops") ?? this.remaining;
  }

  left(): number {
    return this.remaining ?? this.max;
  }
}

/** The clock of a run as it was read, with the moment that it was read by this machine's own clock. */
export interface RunClock {
  readonly state: string;
  /** Seconds; null when the run has no such clock. */
  readonly remainingSeconds: number | null;
  /** Milliseconds of a clock that never jumps, for example `performance.now()`. */
  readonly readAt: number;
}

/**
 * Seconds that a run may still use; it stands still while the run waits, is paused or has ended, or nobody drives it.
 *
 * Needs no wall clock, so that it is right however wrong the clock of the browser is.
 */
export function remainingSeconds(clock: RunClock, now: number, driven = true): number | null {
  if (clock.remainingSeconds === null) return null;
  const runs = driven && (clock.state === "running" || clock.state === "accepted");
  const passed = runs ? Math.max(now - clock.readAt, 0) / 1000 : 0;
  return Math.max(clock.remainingSeconds - passed, 0);
}
