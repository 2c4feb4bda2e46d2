import type { ListedRun } from "../api/types";
import { useRuns } from "../runs/useRuns";

const WAITING = { state: "waiting" };
const PAUSED = { state: "paused" };
const ATTENTION = { outcome: "NeedsAttention" };

/** Runs that wait for an answer or an approval; the longest first. */
export function useWaiting(): ListedRun[] {
  return useRuns(WAITING)
    .rows.filter((run) => run.state === "waiting")
    .reverse();
}

export function usePaused(): ListedRun[] {
  return useRuns(PAUSED).rows.filter((run) => run.state === "paused");
}

export function useNeedsAttention(): ListedRun[] {
  return useRuns(ATTENTION).rows.filter((run) => run.outcome === "NeedsAttention");
}
