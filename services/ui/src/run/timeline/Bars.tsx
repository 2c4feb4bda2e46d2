import { useEffect, useRef } from "react";
import { clock } from "../../clock/clock";
import { formatDuration } from "../../clock/format";
import { extentOf } from "../model/rows";
import type { HopPart, Span } from "../model/spans";
import { type Bar, barOf, type Chart, percent } from "./chart";
import { frames } from "./frames";

const MOST_RIGHT = 93;

type Drawn = Pick<Span, "id" | "kind" | "start" | "end" | "status" | "segments" | "title" | "detail">;

interface SpanBarsProps {
  span: Drawn;
  chart: Chart;
  /** Writes the duration behind the bar. */
  labelled: boolean;
  /** The hop whose duration is written instead of the span's own. */
  whole?: HopPart;
}

/** What is drawn of a span on its line. */
export function SpanBars({ span, chart, labelled, whole }: SpanBarsProps) {
  if (span.kind === "message") return <MessageArrow span={span} chart={chart} />;
  if (span.end !== null && span.end === span.start) return <Moment span={span} chart={chart} />;
  if (span.end === null) return <GrowingBar span={span} chart={chart} labelled={labelled} />;
  const bar = barOf(chart, span.start, span.end);
  if (!bar) return null;
  const extent = whole ? extentOf(whole) : span;
  return (
    <>
      <span className={`bar ${barClass(span)}`} style={place(bar)} title={titleOf(span)}>
        {span.segments.map((part) => (
          <span
            key={part.kind}
            className={`bar-part bar-${part.kind}`}
            style={inner(chart, bar, part.start, part.end)}
          />
        ))}
      </span>
      {labelled && extent.end !== null ? (
        <Label
          left={Math.max(percent(chart, extent.start), 0)}
          right={whole ? lastDrawn(chart, whole) : bar.left + bar.width}
          text={`${span.status === "lost" ? "≤ " : ""}${formatDuration(extent.end - extent.start)}`}
        />
      ) : null}
    </>
  );
}

function GrowingBar({ span, chart, labelled }: SpanBarsProps) {
  const bar = useRef<HTMLSpanElement>(null);
  const label = useRef<HTMLSpanElement>(null);
  const { start } = span;
  useEffect(() => {
    const grow = () => {
      const now = Math.max(clock.now(), start);
      const drawn = barOf(chart, start, now);
      if (!bar.current) return;
      bar.current.style.display = drawn ? "" : "none";
      if (!drawn) return;
      bar.current.style.left = `${drawn.left}%`;
      bar.current.style.width = `${drawn.width}%`;
      if (label.current) {
        const atLeft = drawn.left + drawn.width > MOST_RIGHT;
        label.current.classList.toggle("bar-label-left", atLeft);
        label.current.style.left = atLeft ? "" : `${drawn.left + drawn.width}%`;
        label.current.style.right = atLeft ? `${100 - drawn.left}%` : "";
        label.current.textContent = formatDuration(Math.floor((now - start) / 100) * 100);
      }
    };
    grow();
    return frames.subscribe(grow);
  }, [chart, start]);
  return (
    <>
      <span ref={bar} className={`bar bar-growing ${barClass(span)}`} title={titleOf(span)} />
      {labelled ? <span ref={label} className="bar-label" /> : null}
    </>
  );
}

function Moment({ span, chart }: { span: Drawn; chart: Chart }) {
  const left = percent(chart, span.start);
  if (left < -0.5 || left > 100.5) return null;
  return <span className={`moment moment-${span.status}`} style={{ left: `${left}%` }} title={titleOf(span)} />;
}

function MessageArrow({ span, chart }: { span: Drawn; chart: Chart }) {
  const received = span.status === "done" && span.end !== null ? span.end : span.start;
  const bar = barOf(chart, span.start, received);
  if (!bar) return null;
  return (
    <span className={`arrow ${span.status === "done" ? "" : "arrow-open"}`} style={place(bar)} title={titleOf(span)} />
  );
}

/** Behind what is drawn; before it where there is no room. */
function Label({ left, right, text }: { left: number; right: number; text: string }) {
  const atLeft = right > MOST_RIGHT && left > 100 - MOST_RIGHT;
  const style = atLeft ? { right: `${100 - left}%` } : { left: `${Math.min(right, MOST_RIGHT)}%` };
  return (
    <span className={`bar-label ${atLeft ? "bar-label-left" : right > MOST_RIGHT ? "bar-label-in" : ""}`} style={style}>
      {text}
    </span>
  );
}

/** Right edge of all that is drawn on the line of a hop. */
function lastDrawn(chart: Chart, part: HopPart): number {
  const ends = part.spans.map((span) => span.end ?? span.start);
  return Math.min(percent(chart, Math.max(...ends)), 101);
}

function barClass({ kind, status }: Drawn): string {
  const look = kind === "approval" || kind === "question" || kind === "pause" ? "wait" : kind;
  return `bar-${look} bar-is-${status}`;
}

function place({ left, width }: Bar): { left: string; width: string } {
  return { left: `${left}%`, width: `${width}%` };
}

/** Place of a part inside of its bar, which may be cut at the edge of the chart. */
function inner(chart: Chart, bar: Bar, start: number, end: number): { left: string; width: string } {
  const part = barOf(chart, start, end);
  if (!part || bar.width === 0) return { left: "0", width: "0" };
  return { left: `${((part.left - bar.left) / bar.width) * 100}%`, width: `${(part.width / bar.width) * 100}%` };
}

function titleOf({ title, detail, start, end }: Drawn): string {
  const length = end === null || end === start ? "" : formatDuration(end - start);
  return [title, detail.slice(0, 200), length].filter(Boolean).join(" · ");
}
