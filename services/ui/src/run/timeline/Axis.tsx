import { type RefObject, useEffect, useState } from "react";
import { formatDuration } from "../../clock/format";
import { ticks } from "../model/scale";
import { percent } from "./chart";
import type { ChartControl } from "./useChart";

const PIXELS_PER_TICK = 90;

/** Time since the begin of the run, above the lines. */
export function Axis({ chart, trackRef }: { chart: ChartControl; trackRef: RefObject<HTMLDivElement | null> }) {
  const width = useWidth(trackRef);
  const { scale } = chart;
  const most = Math.max(Math.floor(width / PIXELS_PER_TICK), 2);
  const shown = ticks(scale, chart.from, chart.to, most);
  const apart = spaced(
    shown.map((time) => ({ time, left: percent(chart, time) })),
    (PIXELS_PER_TICK * 0.7 * 100) / Math.max(width, 1),
  );
  return (
    <div className="axis" aria-hidden="true">
      <div className="axis-head small faint">since the begin</div>
      <div className="axis-track" ref={trackRef}>
        {scale.folds.map((fold) => {
          const left = percent(chart, fold.start);
          const right = percent(chart, fold.end);
          return right < 0 || left > 100 ? null : (
            <span
              key={fold.start}
              className="axis-fold"
              style={{ left: `${left}%`, width: `${right - left}%` }}
              title={`${formatDuration(fold.end - fold.start)} of waiting, drawn shorter`}
            >
              ≈
            </span>
          );
        })}
        {apart.map(({ time, left }) => (
          <span key={time} className="axis-tick" style={{ left: `${left}%` }}>
            {time === scale.start ? "0" : formatDuration(time - scale.start)}
          </span>
        ))}
      </div>
    </div>
  );
}

/** Only those that stand far enough from the one before, and inside. */
function spaced(places: { time: number; left: number }[], least: number): { time: number; left: number }[] {
  const kept: { time: number; left: number }[] = [];
  for (const each of places) {
    const before = kept.at(-1);
    if (each.left < -0.1 || each.left > 96) continue;
    if (!before || each.left - before.left >= least) kept.push(each);
  }
  return kept;
}

function useWidth(ref: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const element = ref.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    observer.observe(element);
    return () => observer.disconnect();
  }, [ref]);
  return width;
}
