import { type HopPart, isHopPart, type Life, type Pending, type Span, type SpanStatus } from "./spans";
import type { Timeline } from "./timeline";

/** A shorter gap may be an attempt that was lost with its process. */
const LONG_GAP_MS = 120_000;

/** A line of the waterfall. */
export type Row =
  | { readonly kind: "life"; readonly id: string; readonly depth: 0; readonly life: Life }
  | {
      readonly kind: "hop";
      readonly id: string;
      readonly depth: number;
      readonly part: HopPart;
      readonly open: boolean;
    }
  | { readonly kind: "span"; readonly id: string; readonly depth: number; readonly span: Span }
  | { readonly kind: "pending"; readonly id: "pending"; readonly depth: number; readonly pending: Pending };

/**
 * The lines of a waterfall from top to bottom; a hop's own lines only where it is open.
 *
 * Args:
 *   isOpen: Whether a hop shows its lines.
 *   withPending: Whether a last line tells what goes on although no event tells of it yet.
 */
export function rowsOf(timeline: Timeline, isOpen: (part: HopPart) => boolean, withPending = false): Row[] {
  const rows: Row[] = [];
  const lanes = timeline.lives.length > 1;
  const depth = lanes ? 1 : 0;
  for (const life of timeline.lives) {
    if (lanes) rows.push({ kind: "life", id: `life-${life.index}`, depth: 0, life });
    for (const item of life.items) {
      if (!isHopPart(item)) {
        rows.push({ kind: "span", id: item.id, depth, span: item });
        continue;
      }
      const open = isOpen(item);
      rows.push({ kind: "hop", id: item.id, depth, part: item, open });
      if (open) for (const span of item.spans) rows.push({ kind: "span", id: span.id, depth: depth + 1, span });
    }
  }
  if (withPending && timeline.pending) rows.push({ kind: "pending", id: "pending", depth, pending: timeline.pending });
  return rows;
}

const BY_WEIGHT: readonly SpanStatus[] = ["running", "waiting", "lost", "failed", "stopped", "skipped"];

/** What is to be said of a hop: the newest of its attempts, or what it waits for. */
export function statusOf(part: HopPart): SpanStatus {
  const own = part.spans.filter((span) => span.kind !== "message" && span.status !== "note");
  for (const status of BY_WEIGHT.slice(0, 2)) if (own.some((span) => span.status === status)) return status;
  const attempt = own.findLast((span) => span.kind === "attempt");
  if (attempt) return attempt.status;
  return BY_WEIGHT.find((status) => own.some((span) => span.status === status)) ?? "done";
}

/** Begin and end of a hop; the end is null while something of it goes on. */
export function extentOf(part: HopPart): { start: number; end: number | null } {
  let start = Number.POSITIVE_INFINITY;
  let end: number | null = Number.NEGATIVE_INFINITY;
  for (const span of part.spans) {
    start = Math.min(start, span.start);
    if (span.kind === "message") continue;
    end = end === null || span.end === null ? null : Math.max(end, span.end);
  }
  return { start, end: end === Number.NEGATIVE_INFINITY ? start : end };
}

/** Stretches in which the run did nothing: it waited for a person, was paused, or was long without a process. */
export function idleOf(timeline: Timeline, now: number): { start: number; end: number }[] {
  const idle = timeline.waits.map((span) => ({ start: span.start, end: span.end ?? now }));
  for (const [place, life] of timeline.lives.entries()) {
    const end = timeline.lives[place - 1]?.end ?? life.start;
    if (life.start - end > LONG_GAP_MS) idle.push({ start: end, end: life.start });
  }
  return idle;
}
