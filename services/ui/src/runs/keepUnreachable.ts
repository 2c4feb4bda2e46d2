import type { ListedRun } from "../api/types";

/**
 * Rows with those of agents that do not answer just now, as they were last seen: `last` has the rows of each agent.
 * Newest first, as they came.
 */
export function keepUnreachable(
  rows: readonly ListedRun[],
  unreachable: readonly string[],
  last: ReadonlyMap<string, readonly ListedRun[]>,
): ListedRun[] {
  const known = new Set(rows.map((run) => run.run_id));
  const kept = unreachable.flatMap((agent) => (last.get(agent) ?? []).filter((run) => !known.has(run.run_id)));
  if (kept.length === 0) return [...rows];
  return [...rows, ...kept].sort((one, other) => (other.create_time ?? "").localeCompare(one.create_time ?? ""));
}

export function byAgent(rows: readonly ListedRun[]): Map<string, ListedRun[]> {
  const groups = new Map<string, ListedRun[]>();
  for (const run of rows) {
    const group = groups.get(run.agent);
    if (group) group.push(run);
    else groups.set(run.agent, [run]);
  }
  return groups;
}
