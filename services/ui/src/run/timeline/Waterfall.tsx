import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type RefObject, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { Button } from "../../components/Button";
import type { Row } from "../model/rows";
import type { Timeline } from "../model/timeline";
import { Axis } from "./Axis";
import { Minimap } from "./Minimap";
import { LifeLines, NowLine } from "./Overlays";
import type { ChartControl } from "./useChart";
import { useWheelZoom } from "./useWheelZoom";
import { WaterfallRow } from "./WaterfallRow";

const ROW_HEIGHT = 32;
const OVERSCAN = 12;
const NEAR_END = 8;

interface WaterfallProps {
  rows: readonly Row[];
  chart: ChartControl;
  timeline: Timeline;
  live: boolean;
  /** No process answers: what goes on is not known. */
  away: boolean;
  selected: string | undefined;
  onOpen: (id: string) => void;
  onTurn: (hop: string) => void;
}

/** Lines of a run over time. Only those in sight are drawn; the arrow keys go through all of them. */
export function Waterfall({ rows, chart, timeline, live, away, selected, onOpen, onTurn }: WaterfallProps) {
  const box = useRef<HTMLDivElement>(null);
  const track = useRef<HTMLDivElement>(null);
  const whole = useRef<HTMLDivElement>(null);
  const id = useId();
  const [active, setActive] = useState(selected ?? "");
  const { following, follow, onScroll } = useFollowing(box, live, rows.length);
  useWheelZoom(box, track, chart);
  useGutter(box, whole);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: OVERSCAN,
    getItemKey: (place) => rows[place]?.id ?? place,
  });
  const at = Math.max(
    rows.findIndex((row) => row.id === active),
    0,
  );
  useShown(selected, rows, (place) => {
    setActive(selected ?? "");
    virtual.scrollToIndex(place);
  });
  const move = (to: number) => {
    const place = Math.min(Math.max(to, 0), rows.length - 1);
    const row = rows[place];
    if (!row) return;
    setActive(row.id);
    virtual.scrollToIndex(place);
    if (selected) onOpen(row.id);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = keyAction(event.key, rows, at, { move, onOpen, onTurn, chart });
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };
  return (
    <div className={`waterfall ${away ? "waterfall-away" : ""}`} ref={whole}>
      <Minimap timeline={timeline} chart={chart} />
      <Axis chart={chart} trackRef={track} />
      <div
        ref={box}
        className="waterfall-rows"
        role="treegrid"
        aria-label="Timeline: arrow keys move, Enter opens the detail"
        aria-rowcount={rows.length}
        aria-activedescendant={rows[at] ? `${id}-${rows[at].id}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onScroll={onScroll}
      >
        {/* biome-ignore lint/a11y/useSemanticElements: a table element cannot hold lines that are placed by hand */}
        <div className="waterfall-inner" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
          <LifeLines timeline={timeline} chart={chart} />
          {live ? <NowLine chart={chart} /> : null}
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            return row ? (
              <WaterfallRow
                key={item.key}
                domId={`${id}-${row.id}`}
                row={row}
                top={item.start}
                place={item.index}
                chart={chart}
                active={item.index === at}
                away={away}
                selected={row.id === selected}
                onOpen={(next) => {
                  setActive(next);
                  onOpen(next);
                }}
                onTurn={onTurn}
              />
            ) : null;
          })}
        </div>
      </div>
      <Legend />
      {live && !following ? (
        <div className="waterfall-follow">
          <Button icon="arrow" onClick={follow}>
            Follow live
          </Button>
        </div>
      ) : null}
    </div>
  );
}

interface KeyTargets {
  move: (to: number) => void;
  onOpen: (id: string) => void;
  onTurn: (hop: string) => void;
  chart: ChartControl;
}

const PAGE = 10;

function keyAction(key: string, rows: readonly Row[], at: number, to: KeyTargets): (() => void) | undefined {
  const row = rows[at];
  const isHop = row?.kind === "hop";
  switch (key) {
    case "ArrowDown":
    case "j":
      return () => to.move(at + 1);
    case "ArrowUp":
    case "k":
      return () => to.move(at - 1);
    case "PageDown":
      return () => to.move(at + PAGE);
    case "PageUp":
      return () => to.move(at - PAGE);
    case "Home":
      return () => to.move(0);
    case "End":
      return () => to.move(rows.length - 1);
    case "ArrowRight":
      return isHop ? () => (row.open ? to.move(at + 1) : to.onTurn(row.id)) : undefined;
    case "ArrowLeft":
      return isHop && row.open ? () => to.onTurn(row.id) : () => to.move(parentOf(rows, at));
    case "Enter":
    case " ":
      return row ? () => to.onOpen(row.id) : undefined;
    case "+":
    case "=":
      return () => to.chart.zoomBy(0.6);
    case "-":
      return () => to.chart.zoomBy(1.7);
    case "0":
      return to.chart.showAll;
    default:
      return undefined;
  }
}

function parentOf(rows: readonly Row[], at: number): number {
  const depth = rows[at]?.depth ?? 0;
  for (let place = at - 1; place >= 0; place -= 1) {
    if ((rows[place]?.depth ?? 0) < depth) return place;
  }
  return at;
}

/** Brings the line of the address into sight, once. */
function useShown(selected: string | undefined, rows: readonly Row[], show: (place: number) => void): void {
  const shown = useRef(selected === undefined);
  useEffect(() => {
    const place = shown.current ? -1 : rows.findIndex((row) => row.id === selected);
    if (place < 0) return;
    shown.current = true;
    show(place);
  });
}

/** Keeps the newest line in sight, unless somebody has scrolled away from it. */
function useFollowing(box: RefObject<HTMLDivElement | null>, live: boolean, count: number) {
  const [following, setFollowing] = useState(true);
  const toEnd = () => {
    const element = box.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new line is a reason to look
  useEffect(() => {
    if (live && following) toEnd();
  }, [live, following, count]);
  const onScroll = () => {
    const element = box.current;
    if (!element || !live) return;
    setFollowing(element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END);
  };
  return { following, follow: () => setFollowing(true), onScroll };
}

/** Lets the axis end where the lines end, whether they have a scroll bar or not. */
function useGutter(box: RefObject<HTMLDivElement | null>, whole: RefObject<HTMLDivElement | null>): void {
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const measure = () =>
      whole.current?.style.setProperty("--gutter", `${element.offsetWidth - element.clientWidth}px`);
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    if (element.firstElementChild) observer.observe(element.firstElementChild);
    return () => observer.disconnect();
  }, [box, whole]);
}

const LEGEND = [
  ["recommend", "router"],
  ["decide", "arbitrator"],
  ["queue", "queue"],
  ["work", "service at work"],
  ["wait", "waits for a person"],
  ["lost", "lost in a crash"],
] as const;

function Legend() {
  return (
    <ul className="waterfall-legend small soft">
      {LEGEND.map(([kind, word]) => (
        <li key={kind}>
          <span className={`legend-swatch bar-${kind}`} aria-hidden="true" /> {word}
        </li>
      ))}
    </ul>
  );
}
