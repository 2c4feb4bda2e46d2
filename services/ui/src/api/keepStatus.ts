import type { Agent } from "./types";

/** Agents as they are now; one that does not answer keeps what was last known of it. */
export function keepStatus(before: readonly Agent[] | undefined, now: readonly Agent[]): Agent[] {
  const known = new Map(before?.map((agent) => [agent.agent, agent]));
  return now.map((agent) => {
    const last = known.get(agent.agent);
    if (agent.reachable || !last) return agent;
    return { ...agent, status: agent.status ?? last.status, observability: agent.observability ?? last.observability };
  });
}
