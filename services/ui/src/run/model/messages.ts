import type { Reader } from "./eventLog";
import { isRecord, millis, numberOf, type RunEvent, textOf } from "./wire";

export interface MessageView {
  readonly id: string;
  readonly sender: string;
  readonly recipient: string;
  /** Null while it is not known. */
  readonly payload: string | null;
  readonly hop: number;
  /** Milliseconds since the epoch. */
  readonly sent: number;
  /** When it was received, where the journal tells. */
  readonly received: number | null;
  readonly state: "sent" | "received" | "refused";
  /** Why it was refused. */
  readonly reason: string;
}

/** What roles and people wrote to each other, by the journal, which has no payloads. */
export class Messages implements Reader {
  private byId = new Map<string, MessageView>();

  reset(): void {
    this.byId.clear();
  }

  add(event: RunEvent): void {
    const id = textOf(event.data, "message_id") || `event-${event.sequence}`;
    if (event.type === "MessageSent" || event.type === "MessageRefused") {
      const refused = event.type === "MessageRefused";
      this.byId.set(id, {
        id,
        sender: textOf(event.data, "sender_role") || "?",
        recipient: textOf(event.data, "recipient_role") || "?",
        payload: null,
        hop: event.hop_index,
        sent: millis(event.time, 0),
        received: null,
        state: refused ? "refused" : "sent",
        reason: refused ? textOf(event.data, "reason") : "",
      });
    } else if (event.type === "MessageDelivered") {
      const known = this.byId.get(id);
      if (known) this.byId.set(id, { ...known, received: millis(event.time, known.sent), state: "received" });
    }
  }

  /** Together with what `api/runs/ID/messages` gave, which has the payloads; oldest first. */
  view(stored: readonly unknown[] = []): MessageView[] {
    const all = new Map(this.byId);
    for (const raw of stored) {
      const read = readStored(raw);
      if (!read) continue;
      const known = all.get(read.id);
      const state = known?.state === "received" ? "received" : read.state;
      all.set(read.id, known ? { ...known, payload: read.payload, state } : read);
    }
    return [...all.values()].sort((one, other) => one.sent - other.sent);
  }
}

function readStored(raw: unknown): MessageView | null {
  if (!isRecord(raw) || !isRecord(raw.message)) return null;
  const { message } = raw;
  const id = textOf(message, "message_id");
  if (!id) return null;
  return {
    id,
    sender: textOf(message, "sender_role") || "?",
    recipient: textOf(message, "recipient_role") || "?",
    payload: textOf(message, "payload"),
    hop: numberOf(message, "hop_index") ?? 0,
    sent: millis(textOf(message, "create_time"), 0),
    received: null,
    state: raw.delivered === true ? "received" : "sent",
    reason: "",
  };
}
