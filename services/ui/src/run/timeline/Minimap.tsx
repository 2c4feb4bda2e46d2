import { type PointerEvent, useEffect, useRef } from "react";
import type { SpanKind, SpanStatus } from "../model/spans";
import type { Timeline } from "../model/timeline";
import { frames } from "./frames";
import type { ChartControl } from "./useChart";

const HEIGHT = 30;
const BAR = 3;
const LANES: Record<SpanKind, number> = {
  recommend: 0,
  decide: 1,
  attempt: 2,
  approval: 3,
  question: 3,
  pause: 3,
  message: 4,
  mark: 4,
};

/** The whole run, small; dragging over it shows that part. */
export function Minimap({ timeline, chart }: { timeline: Timeline; chart: ChartControl }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const from = useRef<number | null>(null);
  const count = timeline.spans.size;
  const { scale } = chart;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its size tells
  useEffect(() => {
    const paint = () => canvas.current && draw(canvas.current, timeline, chart);
    paint();
    if (!timeline.ended) return slowly(paint);
  }, [timeline, count, scale, timeline.ended]);

  const placeOf = (event: PointerEvent<HTMLElement>): number => {
    const area = event.currentTarget.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - area.left) / area.width, 0), 1);
  };
  return (
    <div className="minimap" aria-hidden="true">
      <div className="axis-head" />
      <div
        className="minimap-track"
        onPointerDown={(event) => {
          from.current = placeOf(event);
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          if (from.current === null) return;
          const to = placeOf(event);
          if (Math.abs(to - from.current) > 0.005)
            chart.show({ from: Math.min(from.current, to), to: Math.max(from.current, to) });
        }}
        onPointerUp={(event) => {
          const begin = from.current;
          from.current = null;
          if (begin !== null && Math.abs(placeOf(event) - begin) <= 0.005) chart.showAll();
        }}
      >
        <canvas ref={canvas} height={HEIGHT} />
        <span className="minimap-window" style={{ left: `${chart.from * 100}%`, right: `${(1 - chart.to) * 100}%` }} />
      </div>
    </div>
  );
}

/** Each second while something grows. */
function slowly(paint: () => void): () => void {
  let last = 0;
  return frames.subscribe((now) => {
    if (now - last < 1000) return;
    last = now;
    paint();
  });
}

function draw(canvas: HTMLCanvasElement, timeline: Timeline, { scale }: ChartControl): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== HEIGHT * ratio) canvas.height = HEIGHT * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const paints = {
    recommend: colour("--hold"),
    decide: colour("--accent"),
    attempt: colour("--run"),
    approval: colour("--wait"),
    question: colour("--wait"),
    pause: colour("--wait"),
    message: colour("--text-faint"),
    mark: colour("--text-faint"),
  };
  const bad = colour("--bad");
  for (const span of timeline.spans.values()) {
    const start = scale.place(span.start) * width;
    const end = span.kind === "message" ? start : scale.place(span.end ?? timeline.end) * width;
    context.fillStyle = isBad(span.status) ? bad : paints[span.kind];
    context.fillRect(start, 3 + LANES[span.kind] * (BAR + 2), Math.max(end - start, 1.5), BAR);
  }
}

function isBad(status: SpanStatus): boolean {
  return status === "failed" || status === "lost";
}
