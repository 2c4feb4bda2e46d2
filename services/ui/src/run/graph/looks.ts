import type { Tone } from "../../components/Badge";
import type { IconName } from "../../components/Icon";
import type { NodeState } from "../model/graphState";

export const NODE_LOOKS: Record<NodeState, { tone: Tone; icon: IconName; word: string }> = {
  waiting: { tone: "idle", icon: "dashed", word: "Not yet" },
  deciding: { tone: "run", icon: "filter", word: "Being routed" },
  active: { tone: "run", icon: "play", word: "At work" },
  approval: { tone: "wait", icon: "key", word: "Needs approval" },
  question: { tone: "wait", icon: "question", word: "Asks a question" },
  done: { tone: "ok", icon: "check", word: "Done" },
  skipped: { tone: "idle", icon: "chevron", word: "Skipped" },
  failed: { tone: "bad", icon: "cross", word: "Failed" },
  stopped: { tone: "idle", icon: "stop", word: "Stopped" },
};
