import type { TimeScale } from "../model/scale";

/** Part of a chart that is shown, in [0, 1] of the whole. */
export interface Viewport {
  readonly from: number;
  readonly to: number;
}

export interface Chart extends Viewport {
  readonly scale: TimeScale;
}

export interface Bar {
  /** Percent of the width. */
  readonly left: number;
  readonly width: number;
}

export const WHOLE: Viewport = { from: 0, to: 1 };
const SMALLEST = 0.0005;

/** Place of a moment in the part that is shown, in percent; outside of [0, 100] when it is not. */
export function percent(chart: Chart, time: number): number {
  return ((chart.scale.place(time) - chart.from) / (chart.to - chart.from)) * 100;
}

/** Where a stretch of time is drawn, cut at the edges; null when all of it lies outside. */
export function barOf(chart: Chart, start: number, end: number): Bar | null {
  const left = Math.max(percent(chart, start), -1);
  const right = Math.min(percent(chart, end), 101);
  return right < -0.5 || left > 100.5 ? null : { left, width: Math.max(right - left, 0) };
}

/** Nearer or farther by `factor`, with what lies at `anchor` (in [0, 1] of what is shown) staying there. */
export function zoom(view: Viewport, factor: number, anchor = 0.5): Viewport {
  const width = Math.min(Math.max((view.to - view.from) * factor, SMALLEST), 1);
  return inside(view.from + (view.to - view.from - width) * anchor, width);
}

export function pan(view: Viewport, share: number): Viewport {
  const width = view.to - view.from;
  return inside(view.from + width * share, width);
}

function inside(from: number, width: number): Viewport {
  const begin = Math.min(Math.max(from, 0), 1 - width);
  return { from: begin, to: begin + width };
}
