import type { IconName } from "../../components/Icon";
import type { SpanKind, SpanStatus } from "../model/spans";

export const KIND_ICONS: Record<SpanKind, IconName> = {
  recommend: "search",
  decide: "filter",
  attempt: "pulse",
  approval: "key",
  question: "question",
  pause: "pause",
  message: "messages",
  mark: "dot",
};

export const KIND_WORDS: Record<SpanKind, string> = {
  recommend: "Recommendation",
  decide: "Decision",
  attempt: "Attempt",
  approval: "Approval",
  question: "Question",
  pause: "Pause",
  message: "Message",
  mark: "Event",
};

export interface StatusLook {
  icon: IconName;
  word: string;
  tone: "ok" | "run" | "wait" | "bad" | "hold" | "idle";
}

export const STATUS_LOOKS: Record<SpanStatus, StatusLook> = {
  running: { icon: "play", word: "going on", tone: "run" },
  waiting: { icon: "clock", word: "waiting", tone: "wait" },
  done: { icon: "check", word: "done", tone: "ok" },
  skipped: { icon: "chevron", word: "skipped", tone: "idle" },
  retried: { icon: "restore", word: "tried again", tone: "wait" },
  failed: { icon: "cross", word: "failed", tone: "bad" },
  stopped: { icon: "stop", word: "stopped", tone: "idle" },
  lost: { icon: "alert", word: "lost in a crash", tone: "bad" },
  note: { icon: "dot", word: "", tone: "idle" },
};

const OTHER_WORDS: Partial<Record<`${SpanKind} ${SpanStatus}`, string>> = {
  "pause waiting": "paused",
  "message waiting": "not received yet",
  "message stopped": "never received",
  "approval failed": "rejected",
};

/** How a span's status is said; some kinds have words of their own. */
export function statusLook(kind: SpanKind, status: SpanStatus): StatusLook {
  const look = STATUS_LOOKS[status];
  return { ...look, word: OTHER_WORDS[`${kind} ${status}`] ?? look.word };
}
