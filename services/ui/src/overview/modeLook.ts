import type { Agent, Observability } from "../api/types";
import type { Look } from "../components/status";

export function modeLook(mode: string): Look {
  switch (mode) {
    case "shipping":
      return { tone: "ok", icon: "check", word: "Shipping" };
    case "debug":
      return { tone: "run", icon: "search", word: "Debug" };
    default:
      return { tone: "idle", icon: "dot", word: mode || "Unknown" };
  }
}

/** What the mode means, for a person; `endpoint` is where telemetry goes, empty when nowhere. */
export function modeMeaning(mode: string, endpoint = ""): string {
  if (!endpoint) return "Nothing leaves: no endpoint is set.";
  if (mode === "shipping") return "Spans are exported; metrics and logs are not.";
  if (mode === "debug") return "Spans, metrics and logs are exported.";
  return "";
}

/** The mode of all agents, or null when they differ or none is known. */
export function commonMode(agents: readonly Agent[]): Observability | null {
  const modes = agents.flatMap((agent) => (agent.observability ? [agent.observability] : []));
  const [first] = modes;
  if (!first || modes.some((one) => one.mode !== first.mode)) return null;
  const latest = modes.reduce((last, one) => ((one.until ?? "") > (last.until ?? "") ? one : last), first);
  return modes.some((one) => one.mode === "debug" && !one.until) ? { ...latest, until: null } : latest;
}
