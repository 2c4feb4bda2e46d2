import { useEffect, useMemo, useState } from "react";
import { clock } from "../../clock/clock";
import { idleOf } from "../model/rows";
import { foldsOf, roomFor, TimeScale } from "../model/scale";
import type { Timeline } from "../model/timeline";
import { type Chart, pan, type Viewport, WHOLE, zoom } from "./chart";

const LOOK_MS = 250;
/** Room for what is drawn around the last moment, as a share of the whole. */
const MARGIN = 0.02;

export interface ChartControl extends Chart {
  /** Whether there are waits that would make all else small. */
  readonly foldable: boolean;
  readonly folded: boolean;
  fold(value: boolean): void;
  zoomBy(factor: number, anchor?: number): void;
  panBy(share: number): void;
  show(view: Viewport): void;
  showAll(): void;
}

/** Scale and viewport of a timeline; while the run is live its end lies somewhat ahead and moves on in steps. */
export function useChart(timeline: Timeline, version: number, live: boolean): ChartControl {
  const [view, setView] = useState(WHOLE);
  const [folded, setFolded] = useState(true);
  const start = Number.isNaN(timeline.start) ? 0 : timeline.start;
  const ahead = useEndAhead(start, timeline.end, live);
  const end = live ? ahead : Math.max(timeline.end + (timeline.end - start) * MARGIN, start + 1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its version tells
  const folds = useMemo(() => foldsOf(idleOf(timeline, end), start, end), [timeline, version, start, end]);
  const scale = useMemo(() => new TimeScale(start, end, folded ? folds : []), [start, end, folds, folded]);
  return useMemo(
    () => ({
      ...view,
      scale,
      foldable: folds.length > 0,
      folded,
      fold: setFolded,
      zoomBy: (factor, anchor) => setView((before) => zoom(before, factor, anchor)),
      panBy: (share) => setView((before) => pan(before, share)),
      show: setView,
      showAll: () => setView(WHOLE),
    }),
    [view, scale, folds, folded],
  );
}

function useEndAhead(start: number, newest: number, live: boolean): number {
  const [end, setEnd] = useState(() => roomFor(start, Math.max(clock.now(), newest)));
  useEffect(() => {
    if (!live) return;
    const look = () =>
      setEnd((before) => {
        const now = Math.max(clock.now(), newest);
        const fits = now < before && before > start && before <= roomFor(start, now) * 1.0001;
        return fits ? before : roomFor(start, now);
      });
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [start, newest, live]);
  return Math.max(end, start + 1);
}
