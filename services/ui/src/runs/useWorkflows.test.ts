import { expect, test } from "vitest";
import type { Agent } from "../api/types";
import { workflowsOf } from "./useWorkflows";

function agent(workflow: string, namespace: string, reachable = true): Agent {
  const name = `${namespace}.${workflow}-0`;
  return { agent: name, workflow, namespace, target: "", reachable, error: "", status: null, observability: null };
}

test("a workflow with several agents is one choice, reachable when any of them is", () => {
  expect(workflowsOf([agent("b", "team", false), agent("b", "team"), agent("a", "team", false)])).toEqual([
    { workflow: "a", reachable: false, agents: ["team.a-0"] },
    { workflow: "b", reachable: true, agents: ["team.b-0", "team.b-0"] },
  ]);
});

test("a name that several namespaces have is led by its namespace", () => {
  expect(workflowsOf([agent("flow", "red"), agent("flow", "blue", false), agent("solo", "red")])).toEqual([
    { workflow: "blue/flow", reachable: false, agents: ["blue.flow-0"] },
    { workflow: "red/flow", reachable: true, agents: ["red.flow-0"] },
    { workflow: "solo", reachable: true, agents: ["red.solo-0"] },
  ]);
});
