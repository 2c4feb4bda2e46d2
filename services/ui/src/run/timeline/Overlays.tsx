import { useEffect, useRef } from "react";
import { clock } from "../../clock/clock";
import { lifeBegin } from "../model/marks";
import type { Timeline } from "../model/timeline";
import { type Chart, percent } from "./chart";
import { frames } from "./frames";

/** Lines through the whole chart where a new process began. */
export function LifeLines({ timeline, chart }: { timeline: Timeline; chart: Chart }) {
  return (
    <div className="waterfall-overlay" aria-hidden="true">
      {timeline.lives.slice(1).map((life) => {
        const left = percent(chart, life.start);
        if (left < 0 || left > 100) return null;
        return (
          <span
            key={life.index}
            className={`life-line ${life.cause === "crash" ? "life-crash" : ""}`}
            style={{ left: `${left}%` }}
            title={`Process ${life.index + 1}, ${lifeBegin(life)}`}
          />
        );
      })}
    </div>
  );
}

export function NowLine({ chart }: { chart: Chart }) {
  const line = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const place = () => {
      if (line.current) line.current.style.transform = `translateX(${Math.min(percent(chart, clock.now()), 101)}%)`;
    };
    place();
    return frames.subscribe(place);
  }, [chart]);
  return (
    <div className="waterfall-overlay" aria-hidden="true">
      <span ref={line} className="now-line" />
    </div>
  );
}
