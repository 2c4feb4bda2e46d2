import type { Reader } from "./eventLog";
import { flagOf, type RunEvent, textOf } from "./wire";

export type NodeState =
  | "waiting"
  | "deciding"
  | "active"
  | "approval"
  | "question"
  | "done"
  | "skipped"
  | "failed"
  | "stopped";

export interface GraphStep {
  readonly name: string;
  readonly role: string;
  readonly capability: string;
  readonly service: string;
  readonly requires_approval: boolean;
  readonly optional: boolean;
}

/** The shape of a workflow, as the agent tells it. */
export interface WorkflowShape {
  readonly steps: readonly GraphStep[];
  readonly cycle_from: string;
  readonly cycle_to: string;
}

export interface NodeView {
  readonly step: GraphStep;
  readonly state: NodeState;
  /** Times that it was done. */
  readonly done: number;
  /** Service that did it last. */
  readonly service: string;
}

export interface EdgeView {
  readonly from: string;
  readonly to: string;
  /** Times that the run went along it. */
  readonly taken: number;
  readonly back: boolean;
}

export interface GraphView {
  readonly nodes: readonly NodeView[];
  readonly edges: readonly EdgeView[];
  /** Outcome; empty while the run has none. */
  readonly outcome: string;
  readonly paused: boolean;
}

export const START = " start";
export const FINISH = " finish";

interface Tally {
  state: NodeState;
  done: number;
  service: string;
}

/** Where a run stands in its workflow. */
export class GraphState implements Reader {
  private tallies = new Map<string, Tally>();
  private taken = new Map<string, number>();
  private at = START;
  private outcome = "";
  private paused = false;

  reset(): void {
    Object.assign(this, new GraphState());
  }

  add(event: RunEvent): void {
    switch (event.type) {
      case "Recommended":
        if (event.step) this.enter(event.step);
        break;
      case "Decided":
        this.decided(event);
        break;
      case "StepStarted":
      case "StepRetried":
        this.set(event.step, "active").service = textOf(event.data, "service");
        break;
      case "StepCompleted": {
        const tally = this.set(event.step, "done");
        tally.done += 1;
        tally.service = textOf(event.data, "service") || tally.service;
        break;
      }
      case "StepSkipped":
        this.set(event.step, "skipped");
        break;
      case "StepFailed":
        this.set(event.step, "failed");
        break;
      case "ApprovalRequested":
        this.set(event.step, "approval");
        break;
      case "ApprovalDecided":
        this.approved(event);
        break;
      case "QuestionAsked":
        this.set(event.step, "question");
        break;
      case "RunPaused":
        this.paused = true;
        break;
      case "RunContinued":
        this.paused = false;
        break;
      case "RunCompleted":
        this.finish(textOf(event.data, "outcome") || "Ended");
        break;
      default:
    }
  }

  /** Nodes in the order of the workflow; of the journal where the workflow is not known. */
  view(shape: WorkflowShape | null): GraphView {
    const steps = shape && shape.steps.length > 0 ? shape.steps : [...this.tallies.keys()].map(stepOfName);
    const nodes = steps.map((step): NodeView => {
      const tally = this.tallies.get(step.name);
      return {
        step,
        state: tally?.state ?? "waiting",
        done: tally?.done ?? 0,
        service: tally?.service ?? step.service,
      };
    });
    const names = [START, ...steps.map((step) => step.name), FINISH];
    const forward = names.slice(1).map((to, place) => this.edge(names[place] ?? START, to, false));
    const known = new Set(forward.map(({ from, to }) => edgeKey(from, to)));
    const back = shape?.cycle_from && shape.cycle_to ? [this.edge(shape.cycle_from, shape.cycle_to, true)] : [];
    for (const edge of back) known.add(edgeKey(edge.from, edge.to));
    const others = [...this.taken.keys()].filter((key) => !known.has(key)).map((key) => key.split("\u0000"));
    const extra = others.map(([from = "", to = ""]) => this.edge(from, to, names.indexOf(to) <= names.indexOf(from)));
    const edges = [...forward, ...back, ...extra.filter(({ from, to }) => names.includes(from) && names.includes(to))];
    return { nodes, edges, outcome: this.outcome, paused: this.paused };
  }

  private edge(from: string, to: string, back: boolean): EdgeView {
    return { from, to, taken: this.taken.get(edgeKey(from, to)) ?? 0, back };
  }

  private enter(step: string): void {
    const known = this.tallies.get(step);
    const again = this.at === step && known !== undefined && known.state !== "done";
    if (!again) this.go(step);
    this.set(step, "deciding");
  }

  private go(to: string): void {
    const key = edgeKey(this.at, to);
    this.taken.set(key, (this.taken.get(key) ?? 0) + 1);
    this.at = to;
  }

  private decided(event: RunEvent): void {
    const action = textOf(event.data, "action");
    if (action === "invoke") this.set(event.step, "active").service = textOf(event.data, "service");
    if (action === "finish") this.set(event.step, "skipped");
  }

  private approved(event: RunEvent): void {
    const tally = this.tallies.get(event.step);
    if (!flagOf(event.data, "approved")) this.set(event.step, "failed");
    else if (tally?.state === "approval") tally.state = "active";
  }

  private finish(outcome: string): void {
    this.outcome = outcome;
    this.paused = false;
    const clean = outcome === "Completed" || outcome === "Cancelled";
    for (const tally of this.tallies.values()) {
      if (tally.state !== "done" && tally.state !== "skipped" && tally.state !== "failed") {
        tally.state = clean ? "stopped" : "failed";
      }
    }
    if (outcome !== "Cancelled" && outcome !== "Failed") this.go(FINISH);
  }

  private set(step: string, state: NodeState): Tally {
    if (!step) return { state, done: 0, service: "" };
    let tally = this.tallies.get(step);
    if (!tally) {
      tally = { state, done: 0, service: "" };
      this.tallies.set(step, tally);
    }
    tally.state = state;
    return tally;
  }
}

function stepOfName(name: string): GraphStep {
  return { name, role: "", capability: "", service: "", requires_approval: false, optional: false };
}

function edgeKey(from: string, to: string): string {
  return `${from}\u0000${to}`;
}
