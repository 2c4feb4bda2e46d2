import {
  BaseEdge,
  Controls,
  type Edge,
  EdgeLabelRenderer,
  type EdgeProps,
  Handle,
  MarkerType,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
} from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { useMemo } from "react";
import { Icon } from "../../components/Icon";
import { outcomeLook } from "../../components/status";
import { type EdgeView, type GraphView, type NodeView, START } from "../model/graphState";
import { place, STEP_SIZE, sizeOf } from "./layout";
import { NODE_LOOKS } from "./looks";
import { useNarrow } from "./useNarrow";

type StepNode = Node<{ view: NodeView; downwards: boolean }, "step">;
type EndNode = Node<{ word: string; tone: string; downwards: boolean }, "end">;
type BackEdge = Edge<{ label: string; downwards: boolean }, "back">;

/** The graph, laid out anew only when its shape changes. */
export function FlowCanvas({ view, loop }: { view: GraphView; loop: string }) {
  const downwards = useNarrow();
  const shape = view.nodes.map((node) => node.step.name).join("\n") + view.edges.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the places depend on the shape alone
  const places = useMemo(() => place(view, downwards), [shape, downwards]);
  const nodes = useMemo(() => nodesOf(view, places, downwards), [view, places, downwards]);
  const edges = useMemo(() => view.edges.map((edge) => edgeOf(edge, loop, downwards)), [view, loop, downwards]);
  return (
    <ReactFlow
      key={downwards ? "down" : "right"}
      nodes={nodes}
      edges={edges}
      nodeTypes={NODE_TYPES}
      edgeTypes={EDGE_TYPES}
      fitView
      fitViewOptions={{ padding: 0.12, maxZoom: 1.15 }}
      minZoom={0.3}
      maxZoom={2}
      nodesDraggable={false}
      nodesConnectable={false}
      edgesFocusable={false}
      preventScrolling={false}
      zoomOnScroll={false}
      proOptions={{ hideAttribution: true }}
    >
      <Controls showInteractive={false} />
    </ReactFlow>
  );
}

function StepBox({ data: { view, downwards } }: NodeProps<StepNode>) {
  const look = NODE_LOOKS[view.state];
  return (
    <div className={`flow-step tone-${look.tone} flow-${view.state}`}>
      <Handle type="target" position={downwards ? Position.Top : Position.Left} isConnectable={false} />
      <div className="flow-step-top">
        <strong>{view.step.name}</strong>
        {view.done > 1 ? <span className="flow-count">×{view.done}</span> : null}
      </div>
      <div className="flow-step-role">{[view.step.role, view.service].filter(Boolean).join(" · ")}</div>
      <div className="flow-step-state">
        <Icon name={look.icon} size={12} /> {look.word}
      </div>
      <Handle type="source" position={downwards ? Position.Bottom : Position.Right} isConnectable={false} />
    </div>
  );
}

function EndBox({ data }: NodeProps<EndNode>) {
  return (
    <div className={`flow-end tone-${data.tone}`}>
      <Handle type="target" position={data.downwards ? Position.Top : Position.Left} isConnectable={false} />
      {data.word}
      <Handle type="source" position={data.downwards ? Position.Bottom : Position.Right} isConnectable={false} />
    </div>
  );
}

/** The way back of the review loop, in a bow around the steps between. */
function BackBow({ sourceX, sourceY, targetX, targetY, data, markerEnd, style }: EdgeProps<BackEdge>) {
  const { width, height } = STEP_SIZE;
  const down = data?.downwards ?? false;
  const reach = 64;
  const from = down
    ? { x: sourceX + width / 2, y: sourceY - height / 2 }
    : { x: sourceX - width / 2, y: sourceY + height / 2 };
  const to = down
    ? { x: targetX + width / 2, y: targetY + height / 2 }
    : { x: targetX + width / 2, y: targetY + height / 2 };
  const path = down
    ? `M${from.x},${from.y} C${from.x + reach},${from.y} ${to.x + reach},${to.y} ${to.x},${to.y}`
    : `M${from.x},${from.y} C${from.x},${from.y + reach} ${to.x},${to.y + reach} ${to.x},${to.y}`;
  const middle = down
    ? { x: from.x + reach * 0.75, y: (from.y + to.y) / 2 }
    : { x: (from.x + to.x) / 2, y: from.y + reach * 0.75 };
  return (
    <>
      <BaseEdge path={path} {...(markerEnd ? { markerEnd } : {})} {...(style ? { style } : {})} />
      <EdgeLabelRenderer>
        <span
          className="flow-label"
          style={{ transform: `translate(-50%, -50%) translate(${middle.x}px, ${middle.y}px)` }}
        >
          {data?.label}
        </span>
      </EdgeLabelRenderer>
    </>
  );
}

const NODE_TYPES = { step: StepBox, end: EndBox };
const EDGE_TYPES = { back: BackBow };

function nodesOf(view: GraphView, places: readonly { id: string; x: number; y: number }[], downwards: boolean) {
  return places.map(({ id, x, y }): StepNode | EndNode => {
    const base = { id, position: { x, y }, ...sizeOf(id), draggable: false };
    const step = view.nodes.find((node) => node.step.name === id);
    if (step) {
      const word = NODE_LOOKS[step.state].word;
      return { ...base, type: "step", data: { view: step, downwards }, ariaLabel: `Step ${id}: ${word}` };
    }
    if (id === START)
      return { ...base, type: "end", data: { word: "Start", tone: "idle", downwards }, focusable: false };
    const look = view.outcome ? outcomeLook(view.outcome) : null;
    const word = look ? look.word : "End";
    return { ...base, type: "end", data: { word, tone: look?.tone ?? "idle", downwards }, focusable: false };
  });
}

function edgeOf(edge: EdgeView, loop: string, downwards: boolean): Edge {
  const taken = edge.taken > 0;
  const colour = taken ? "var(--accent)" : "var(--line-strong)";
  const base = {
    id: `${edge.from}→${edge.to}${edge.back ? " back" : ""}`,
    source: edge.from,
    target: edge.to,
    style: { stroke: colour, strokeWidth: taken ? 2 : 1.2, ...(taken ? {} : { strokeDasharray: "4 4" }) },
    markerEnd: { type: MarkerType.ArrowClosed, color: colour, width: 16, height: 16 },
    focusable: false,
  };
  if (!edge.back) return { ...base, type: "smoothstep" };
  const label = edge.taken > 0 ? `revise ×${edge.taken}` : loop ? "revise" : "back";
  return { ...base, type: "back", data: { label, downwards } };
}
