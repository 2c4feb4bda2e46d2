import { useQuery, useQueryClient } from "@tanstack/react-query";
import { listAgents } from "../api/endpoints";
import { keepStatus } from "../api/keepStatus";
import { keys } from "../api/keys";
import type { Agent } from "../api/types";

export function useAgents() {
  const queries = useQueryClient();
  return useQuery({
    queryKey: keys.agents,
    queryFn: async () => keepStatus(queries.getQueryData<Agent[]>(keys.agents), await listAgents()),
  });
}

export interface WorkflowChoice {
  workflow: string;
  reachable: boolean;
  /** The agents that serve it. */
  agents: readonly string[];
}

/**
 * The workflows of all agents, each once, by name; one that any agent serves is reachable.
 * A name that several namespaces have is led by its namespace, as the gateway takes it.
 */
export function workflowsOf(agents: readonly Agent[]): WorkflowChoice[] {
  const choices = new Map<string, Agent[]>();
  for (const agent of agents) {
    const { workflow, namespace } = agent;
    const shared = agents.some((other) => other.workflow === workflow && other.namespace !== namespace);
    const choice = shared ? `${namespace}/${workflow}` : workflow;
    choices.set(choice, [...(choices.get(choice) ?? []), agent]);
  }
  return [...choices]
    .map(([workflow, serving]) => ({
      workflow,
      reachable: serving.some(({ reachable }) => reachable),
      agents: serving.map(({ agent }) => agent),
    }))
    .sort((one, other) => one.workflow.localeCompare(other.workflow));
}
