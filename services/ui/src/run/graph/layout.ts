import { Graph, layout } from "@dagrejs/dagre";
import { FINISH, type GraphView, START } from "../model/graphState";

export interface Placed {
  readonly id: string;
  readonly x: number;
  readonly y: number;
}

export const STEP_SIZE = { width: 176, height: 72 };
export const END_SIZE = { width: 84, height: 36 };

/** Where each node stands, from left to right, or from top to bottom on a narrow screen. */
export function place(view: GraphView, downwards: boolean): Placed[] {
  const graph = new Graph();
  graph.setGraph({ rankdir: downwards ? "TB" : "LR", nodesep: 40, ranksep: 64, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  const ids = [START, ...view.nodes.map((node) => node.step.name), FINISH];
  for (const id of ids) graph.setNode(id, { ...sizeOf(id) });
  for (const edge of view.edges) if (!edge.back) graph.setEdge(edge.from, edge.to);
  layout(graph);
  return ids.map((id) => {
    const node = graph.node(id) as { x: number; y: number };
    const { width, height } = sizeOf(id);
    return { id, x: node.x - width / 2, y: node.y - height / 2 };
  });
}

export function sizeOf(id: string): { width: number; height: number } {
  return id === START || id === FINISH ? END_SIZE : STEP_SIZE;
}
