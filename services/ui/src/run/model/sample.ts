/** Journals for tests and benches: made up, or recorded from real runs. */

export interface SampleEvent {
  sequence: number;
  run_id: string;
  type: string;
  time: string | null;
  step: string;
  hop_index: number;
  data: Record<string, unknown>;
}

export const ORIGIN = Date.parse("2026-01-01T12:00:00.000Z");

/** Writes a journal: `write("StepStarted", 1.5, {service: "x"}, "code", 1)` at 1.5 seconds after its begin. */
export class Journal {
  readonly events: SampleEvent[] = [];

  write(type: string, seconds: number, data: Record<string, unknown> = {}, step = "", hop = 0): this {
    const time = new Date(ORIGIN + seconds * 1000).toISOString();
    this.events.push({ sequence: this.events.length + 1, run_id: "run", type, time, step, hop_index: hop, data });
    return this;
  }

  hop(step: string, hop: number, seconds: number, completed: Record<string, unknown> = {}): this {
    const services = [{ service: "alpha", capability: "coding", confidence: 0.8 }];
    const choices = [{ choice: "invoke:alpha", probability: 0.9, prior: 0.8, log_probability: -1 }];
    const decided = { action: "invoke", service: "alpha", agreed: true, choices, duration_ms: 50 };
    return this.write("Recommended", seconds, { services, none_probability: 0.2, duration_ms: 20 }, step, hop)
      .write("Decided", seconds + 0.1, decided, step, hop)
      .write("StepStarted", seconds + 0.2, { service: "alpha", attempt: 1 }, step, hop)
      .write("StepCompleted", seconds + 1, { service: "alpha", output: `${step} ${hop}`, ...completed }, step, hop);
  }
}

/** A run whose steps are tried again and again, with `count` events. */
export function longJournal(count: number): SampleEvent[] {
  const journal = new Journal().write("RunAccepted", 0, { max_hops: 5, max_cycles: 2 });
  for (let hop = 1; journal.events.length < count; hop += 1) {
    const seconds = hop * 2;
    const step = ["research", "code", "review"][hop % 3] ?? "code";
    journal.hop(step, hop, seconds, { usage: { duration_ms: 700, queue_ms: 100 } });
    journal.write(
      "MessageSent",
      seconds + 1,
      { message_id: `m${hop}`, sender_role: "a", recipient_role: "b" },
      step,
      hop,
    );
    journal.write("MessageDelivered", seconds + 1.5, { message_id: `m${hop}` }, step, hop);
  }
  return journal.events.slice(0, count);
}
