import { lazy, Suspense, useMemo } from "react";
import { Badge } from "../../components/Badge";
import { Loading } from "../../components/Loading";
import { outcomeLook } from "../../components/status";
import type { NodeView, GraphView as View } from "../model/graphState";
import { loopLabel } from "../model/loop";
import { useModel, useRunView } from "../runContext";
import { NODE_LOOKS } from "./looks";

const FlowCanvas = lazy(() => import("./FlowCanvas").then((module) => ({ default: module.FlowCanvas })));

/** The workflow of the run with where it stands; drawn, and the same as a list. */
export function GraphView() {
  const { graph, run } = useRunView();
  const model = useModel();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its version tells
  const view = useMemo(() => model.graph.view(graph), [model, model.version, graph]);
  const loop = loopLabel(run.current_cycle, run.max_cycles);
  return (
    <div className="graph">
      <section className="card graph-canvas" aria-label="Graph of the workflow">
        <Suspense fallback={<Loading what="the graph" />}>
          <FlowCanvas view={view} loop={loop} />
        </Suspense>
      </section>
      <section className="card graph-list" aria-labelledby="graph-steps">
        <div className="card-head">
          <h2 id="graph-steps">Steps</h2>
          {loop ? <span className="card-note">{loop}</span> : null}
        </div>
        <StepList view={view} />
      </section>
    </div>
  );
}

function StepList({ view }: { view: View }) {
  const back = view.edges.find((edge) => edge.back);
  return (
    <ol className="step-list">
      {view.nodes.map((node) => (
        <li key={node.step.name} className="step-item">
          <StepLine node={node} />
        </li>
      ))}
      {back ? (
        <li className="step-item soft small">
          Verdict "revise" of {back.from} leads back to {back.to}: taken {times(back.taken)}.
        </li>
      ) : null}
      {view.outcome ? (
        <li className="step-item">
          <span className="step-name">End</span>
          <Outcome outcome={view.outcome} />
        </li>
      ) : null}
    </ol>
  );
}

function StepLine({ node }: { node: NodeView }) {
  const look = NODE_LOOKS[node.state];
  const about = [
    node.step.role,
    node.service,
    node.step.optional ? "optional" : "",
    node.done > 1 ? `done ${times(node.done)}` : "",
  ];
  return (
    <>
      <span>
        <span className="step-name">{node.step.name}</span>
        <span className="soft small">{about.filter(Boolean).join(" · ")}</span>
      </span>
      <Badge tone={look.tone} icon={look.icon}>
        {look.word}
      </Badge>
    </>
  );
}

function Outcome({ outcome }: { outcome: string }) {
  const { tone, icon, word } = outcomeLook(outcome);
  return (
    <Badge tone={tone} icon={icon}>
      {word}
    </Badge>
  );
}

function times(count: number): string {
  if (count === 0) return "never so far";
  return count === 1 ? "once" : count === 2 ? "twice" : `${count} times`;
}
