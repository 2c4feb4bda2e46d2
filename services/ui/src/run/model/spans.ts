import type { RunEvent } from "./wire";

export type SpanKind = "recommend" | "decide" | "attempt" | "approval" | "question" | "pause" | "message" | "mark";

export type SpanStatus =
  | "running"
  | "waiting"
  | "done"
  | "skipped"
  | "retried"
  | "failed"
  | "stopped"
  /** Its process died before it ended. */
  | "lost"
  | "note";

/** A stretch of time inside of an attempt. */
export interface Segment {
  readonly kind: "queue" | "work";
  readonly start: number;
  readonly end: number;
}

export interface Span {
  /** Stable over reloads: kind and sequence number of the event that began it. */
  readonly id: string;
  readonly kind: SpanKind;
  readonly step: string;
  readonly hop: number;
  /** Index of the process life that it belongs to. */
  readonly life: number;
  title: string;
  detail: string;
  /** Milliseconds since the epoch. */
  readonly start: number;
  /** Null while it goes on. For a lost span: until when it can have gone on at most. */
  end: number | null;
  status: SpanStatus;
  segments: Segment[];
  /** The service had begun the work for an earlier attempt: its own time is longer than the span. */
  joined: boolean;
  readonly events: RunEvent[];
}

/** What one process life did for one hop. */
export interface HopPart {
  readonly id: string;
  readonly life: number;
  readonly hop: number;
  readonly step: string;
  role: string;
  cycle: number;
  readonly spans: Span[];
}

/** From one start of a process that drove the run, or kept it while it waited, to its end. */
export interface Life {
  readonly index: number;
  /** Why it began: "" for the first, else "crash", "restart", "disk failure" or "restore". */
  cause: string;
  start: number;
  /** Whether the run went on in it at once; otherwise it waited, or had not been taken up yet. */
  resumed: boolean;
  /** How many processes began without anything happening to the run before the last of them; 1 for most. */
  starts: number;
  /** Its last sign of life; null while it is the newest. */
  end: number | null;
  /** Hop parts and spans that belong to no hop, in order of their begin. */
  readonly items: (HopPart | Span)[];
  lost: number;
  event: RunEvent | null;
}

/** What is going on although no event tells of it before it is over. */
export interface Pending {
  readonly kind: "recommend" | "decide" | "attempt";
  readonly step: string;
  readonly since: number;
}

export function isHopPart(item: HopPart | Span): item is HopPart {
  return "spans" in item;
}

/** Id of what a life did for a hop. */
export function hopId(life: number, hop: number, step: string): string {
  return `hop-${life}/${hop}:${step}`;
}
