import type { ListedRun } from "../api/types";
import { useRuns } from "../runs/useRuns";

const WAITING = { state: "waiting" };
const PAUSED = { state: "paused" };
const ATTENTION = { outcome: "NeedsAttention" };

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

export function useNeedsAttention(): Pending {
  const query = useRuns(ATTENTION);
  return pending(
    query,
    query.rows.filter((run) => run.outcome === "NeedsAttention"),
  );
}

function pending(query: ReturnType<typeof useRuns>, runs: ListedRun[]): Pending {
  return { runs, unreachable: query.unreachable, known: query.data !== undefined, error: query.error };
}
