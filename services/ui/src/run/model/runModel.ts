import { HopBudget } from "./budget";
import { Decisions } from "./decisions";
import { Drafts } from "./drafts";
import { EventLog } from "./eventLog";
import { GraphState } from "./graphState";
import { Loop } from "./loop";
import { Messages } from "./messages";
import { Timeline } from "./timeline";

/** Everything that is shown of a run's journal, grown event by event. Views read it after each `version`. */
export class RunModel {
  readonly timeline = new Timeline();
  readonly graph = new GraphState();
  readonly decisions = new Decisions();
  readonly loop = new Loop();
  readonly hops = new HopBudget();
  readonly drafts = new Drafts();
  readonly messages = new Messages();
  readonly log = new EventLog([
    this.timeline,
    this.graph,
    this.decisions,
    this.loop,
    this.hops,
    this.drafts,
    this.messages,
  ]);
  /** Grows by one whenever something is new. */
  version = 0;
  private readonly listeners = new Set<() => void>();

  /** Takes events of the run, or of its agent, in any order; known ones are dropped. */
  add(raw: readonly unknown[]): void {
    if (this.log.add(raw) > 0) this.changed();
  }

  /** Sequence number up to which the run's own journal is here; an event of its agent may be ahead of it. */
  lastOfRun(runId: string): number {
    return this.log.events.findLast((event) => event.run_id === runId)?.sequence ?? 0;
  }

  clear(): void {
    this.log.clear();
    this.changed();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private changed(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
