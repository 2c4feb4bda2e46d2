import type { Run, RunEvent, RunState } from "../api/types";

const STATE_AFTER: Record<string, RunState> = {
  RunAccepted: "accepted",
  Recommended: "running",
  Decided: "running",
  StepStarted: "running",
  QuestionAsked: "waiting",
  ApprovalRequested: "waiting",
  QuestionAnswered: "running",
  ApprovalDecided: "running",
  RunPaused: "paused",
  RunContinued: "running",
  RunCompleted: "ended",
};

/** What a journal event says about the row of its run; the rest is read from the agent a moment later. */
export function applyEvent(run: Run, event: RunEvent): Partial<Run> {
  if (event.sequence <= run.last_sequence) return {};
  const data = event.data ?? {};
  const state = run.state === "ended" ? run.state : (STATE_AFTER[event.type] ?? run.state);
  const change: Partial<Run> = { last_sequence: event.sequence, update_time: event.time, state };
  if (state !== "waiting") change.pending_input = null;
  if (event.type === "StepStarted" && event.step) change.current_step = event.step;
  if (event.type === "RunResumed") change.recoveries = run.recoveries + 1;
  for (const name of ["remaining_hops", "current_cycle", "max_cycles"] as const) {
    const value = data[name];
    if (typeof value === "number") change[name] = value;
  }
  if (event.type === "RunCompleted") {
    change.outcome = text(data.outcome);
    change.reason = text(data.reason);
    change.result = text(data.result);
    change.end_time = event.time;
  }
  return change;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
