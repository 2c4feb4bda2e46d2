import type { ListedRun } from "../api/types";
import { useRuns } from "../runs/useRuns";

const WAITING = { state: "waiting" };
const PAUSED = { state: "paused" };
const ATTENTION = { outcome: "NeedsAttention" };

/** Runs that wait for an answer or an approval, the longest first; and the agents that could not be asked. */
export function useWaiting(): { waiting: ListedRun[]; unreachable: string[] } {
  const { rows, unreachable } = useRuns(WAITING);
  return { waiting: rows.filter((run) => run.state === "waiting").reverse(), unreachable };
}

export function usePaused(): ListedRun[] {
  return useRuns(PAUSED).rows.filter((run) => run.state === "paused");
}

export function useNeedsAttention(): ListedRun[] {
  return useRuns(ATTENTION).rows.filter((run) => run.outcome === "NeedsAttention");
}
