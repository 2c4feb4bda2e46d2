import type { Reader } from "./eventLog";
import { flagOf, millis, numberOf, type RunEvent, recordsOf, textOf } from "./wire";

export interface Citation {
  readonly source: string;
  readonly location: string;
  readonly score: number | null;
  readonly quote: string;
}

export interface ToolCall {
  readonly name: string;
  readonly arguments: string;
  readonly result: string;
  readonly error: string;
}

/** An answer of a step. */
export interface Draft {
  readonly id: string;
  readonly step: string;
  readonly role: string;
  readonly service: string;
  readonly hop: number;
  /** 1-based; 0 outside of the review loop. */
  readonly cycle: number;
  readonly text: string;
  readonly verdict: string;
  readonly citations: readonly Citation[];
  readonly toolCalls: readonly ToolCall[];
  readonly replayed: boolean;
  readonly durationMs: number | null;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The same step's answer before this one; null for its first. */
  readonly before: Draft | null;
}

/** Answers of all steps, oldest first, each with the one that it replaces. */
export class Drafts implements Reader {
  all: Draft[] = [];
  result = "";
  private newest = new Map<string, Draft>();

  reset(): void {
    Object.assign(this, new Drafts());
  }

  add(event: RunEvent): void {
    if (event.type === "RunCompleted") this.result = textOf(event.data, "result");
    if (event.type !== "StepCompleted") return;
    const draft = readDraft(event, this.newest.get(event.step) ?? null);
    this.newest.set(event.step, draft);
    this.all.push(draft);
  }
}

function readDraft(event: RunEvent, before: Draft | null): Draft {
  const { data } = event;
  const usage = (data.usage ?? {}) as Record<string, unknown>;
  return {
    id: `draft-${event.sequence}`,
    step: event.step,
    role: textOf(data, "role"),
    service: textOf(data, "service"),
    hop: event.hop_index,
    cycle: numberOf(data, "cycle") ?? 0,
    text: textOf(data, "output"),
    verdict: textOf(data, "verdict"),
    citations: recordsOf(data, "citations").map(readCitation),
    toolCalls: recordsOf(data, "tool_calls").map(readToolCall),
    replayed: flagOf(data, "replayed"),
    durationMs: numberOf(data, "duration_ms"),
    promptTokens: numberOf(usage, "prompt_tokens"),
    completionTokens: numberOf(usage, "completion_tokens"),
    time: millis(event.time, 0),
    before,
  };
}

function readCitation(record: Record<string, unknown>): Citation {
  return {
    source: textOf(record, "source"),
    location: textOf(record, "location"),
    score: numberOf(record, "score"),
    quote: textOf(record, "quote"),
  };
}

function readToolCall(record: Record<string, unknown>): ToolCall {
  return {
    name: textOf(record, "name"),
    arguments: textOf(record, "arguments"),
    result: textOf(record, "result"),
    error: textOf(record, "error"),
  };
}
