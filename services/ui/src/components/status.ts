import type { Run } from "../api/types";
import type { Tone } from "./Badge";
import type { IconName } from "./Icon";

export interface Look {
  tone: Tone;
  icon: IconName;
  word: string;
}

const STATES: Record<string, Look> = {
  accepted: { tone: "idle", icon: "dashed", word: "Accepted" },
  running: { tone: "run", icon: "play", word: "Running" },
  waiting: { tone: "wait", icon: "question", word: "Waiting" },
  paused: { tone: "hold", icon: "pause", word: "Paused" },
  ended: { tone: "idle", icon: "stop", word: "Ended" },
};

const OUTCOMES: Record<string, Look> = {
  Completed: { tone: "ok", icon: "check", word: "Completed" },
  ReviewLimitReached: { tone: "wait", icon: "alert", word: "Review limit reached" },
  HopLimitReached: { tone: "wait", icon: "alert", word: "Hop limit reached" },
  TimeLimitReached: { tone: "wait", icon: "clock", word: "Time limit reached" },
  WaitTimedOut: { tone: "wait", icon: "clock", word: "Wait timed out" },
  Cancelled: { tone: "idle", icon: "stop", word: "Cancelled" },
  Failed: { tone: "bad", icon: "cross", word: "Failed" },
  NeedsAttention: { tone: "bad", icon: "alert", word: "Needs attention" },
};

const SERVICES: Record<string, Look> = {
  ready: { tone: "ok", icon: "check", word: "Ready" },
  "not ready": { tone: "bad", icon: "alert", word: "Not ready" },
  gone: { tone: "idle", icon: "cross", word: "Gone" },
};

export const RUN_STATES = Object.keys(STATES);
export const RUN_OUTCOMES = Object.keys(OUTCOMES);

/** Words that this page does not know are shown as they are. */
function look(table: Record<string, Look>, word: string): Look {
  return (
    (Object.hasOwn(table, word) ? table[word] : undefined) ?? { tone: "idle", icon: "dot", word: word || "Unknown" }
  );
}

export const stateLook = (state: string): Look => look(STATES, state);
export const outcomeLook = (outcome: string): Look => look(OUTCOMES, outcome);
export const serviceLook = (state: string): Look => look(SERVICES, state);

/** A run that has ended shows how; one that has not shows where it stands. */
export function runLook(run: Pick<Run, "state" | "outcome">): Look {
  return run.state === "ended" && run.outcome ? outcomeLook(run.outcome) : stateLook(run.state);
}
