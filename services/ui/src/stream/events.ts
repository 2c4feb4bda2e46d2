import type { Agent, RunEvent, Service } from "../api/types";

export type StreamEvent =
  | { type: "hello"; server_time: string }
  | { type: "journal"; agent: string; event: RunEvent }
  | { type: "agents"; agents: Agent[] }
  | { type: "services"; services: Service[] }
  /** Something may have been missed: read the snapshots anew. */
  | { type: "resync"; reason: string };

/** What came over the wire, or null when this page does not know it. */
export function decode(name: string, text: string): StreamEvent | null {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof data !== "object" || data === null) return null;
  const fields = data as Record<string, unknown>;
  switch (name) {
    case "hello":
      return { type: "hello", server_time: String(fields.server_time ?? "") };
    case "journal":
      return typeof fields.agent === "string" && isEvent(fields.event)
        ? { type: "journal", agent: fields.agent, event: fields.event }
        : null;
    case "agents":
      return Array.isArray(fields.agents) ? { type: "agents", agents: fields.agents as Agent[] } : null;
    case "services":
      return Array.isArray(fields.services) ? { type: "services", services: fields.services as Service[] } : null;
    case "resync":
      return { type: "resync", reason: String(fields.reason ?? "") };
    default:
      return null;
  }
}

function isEvent(value: unknown): value is RunEvent {
  if (typeof value !== "object" || value === null) return false;
  const event = value as Partial<RunEvent>;
  return typeof event.sequence === "number" && typeof event.type === "string" && typeof event.run_id === "string";
}
