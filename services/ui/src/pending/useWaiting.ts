import { useSyncExternalStore } from "react";
import type { ListedRun } from "../api/types";
import { clock } from "../clock/clock";
import { useRuns } from "../runs/useRuns";
import { dismissals } from "./dismissals";

const WAITING = { state: "waiting" };
const PAUSED = { state: "paused" };
const ATTENTION = { outcome: "NeedsAttention" };
const LISTED_MS = 7 * 24 * 3_600_000;

export interface Pending {
  runs: ListedRun[];
  /** Agents that could not be asked. */
  unreachable: string[];
  /** False until they were asked for the first time. */
  known: boolean;
  error: unknown;
}

/** Runs that wait for an answer or an approval, the longest first. */
export function useWaiting(): Pending {
  const query = useRuns(WAITING);
  return pending(query, query.rows.filter((run) => run.state === "waiting").reverse());
}

export function usePaused(): Pending {
  const query = useRuns(PAUSED);
  return pending(
    query,
    query.rows.filter((run) => run.state === "paused"),
  );
}

/** Runs that were given up because they killed their process: listed for a week, unless they are dismissed. */
export function useNeedsAttention(): Pending {
  const query = useRuns(ATTENTION);
  const dismissed = useSyncExternalStore(dismissals.subscribe, dismissals.get);
  return pending(
    query,
    query.rows.filter((run) => wantsALook(run, clock.now(), dismissed)),
  );
}

export function wantsALook(run: ListedRun, now: number, dismissed: ReadonlySet<string>): boolean {
  if (run.outcome !== "NeedsAttention" || dismissed.has(run.run_id)) return false;
  return now - Date.parse(run.end_time ?? run.update_time ?? "") < LISTED_MS;
}

function pending(query: ReturnType<typeof useRuns>, runs: ListedRun[]): Pending {
  return { runs, unreachable: query.unreachable, known: query.data !== undefined, error: query.error };
}
