import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Button } from "../../components/Button";
import { EmptyState } from "../../components/EmptyState";
import { Loading } from "../../components/Loading";
import { type Row, rowsOf } from "../model/rows";
import { hopId, type Span } from "../model/spans";
import { useModel, useRunView } from "../runContext";
import type { RunSearch } from "../search";
import { SpanDetail } from "./SpanDetail";
import { TimelineTable } from "./TimelineTable";
import { useChart } from "./useChart";
import { Waterfall } from "./Waterfall";

/** The waterfall of a run, live; or the same as a table. */
export function TimelineView() {
  const { run, reachable, complete } = useRunView();
  const model = useModel();
  const { timeline, version } = { timeline: model.timeline, version: model.version };
  const search = useSearch({ from: "/runs/$runId" });
  const change = useSearchChange();
  const [turned, setTurned] = useState<ReadonlySet<string>>(new Set());
  const live = !timeline.ended && run.state !== "ended";
  const driven = live && reachable && run.state !== "paused" && run.state !== "waiting";
  const full = search.full === true;
  const around = hopAround(timeline.spans.get(search.span ?? ""));
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its version tells
  const rows = useMemo(
    () => rowsOf(timeline, (part) => part.id === around || full !== turned.has(part.id), driven),
    [timeline, version, full, turned, around, driven],
  );
  const chart = useChart(timeline, version, live);
  const turn = (id: string) => {
    const wasOpen = full !== turned.has(id);
    if (id === around) change({ span: undefined });
    if (id === around && !wasOpen) return;
    setTurned((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  };
  const selected = useSelected(search.span, rows);

  if (model.log.events.length === 0) {
    return complete ? (
      <EmptyState icon="clock" title="Nothing has happened yet">
        <p>The first events of this run appear here by themselves.</p>
      </EmptyState>
    ) : (
      <Loading what="the journal" />
    );
  }
  return (
    <div className={`timeline ${selected ? "timeline-detailed" : ""}`}>
      <section className="timeline-main" aria-label="Timeline">
        <div className="timeline-bar">
          {search.table ? null : <DensityButtons full={full} onChange={turnAll} />}
          {search.table ? null : <ZoomButtons chart={chart} />}
          {chart.foldable && !search.table ? (
            <label className="timeline-check small">
              <input type="checkbox" checked={chart.folded} onChange={(event) => chart.fold(event.target.checked)} />
              Shorten waits
            </label>
          ) : null}
          <div className="timeline-bar-end">
            <Button
              variant="quiet"
              icon={search.table ? "runs" : "filter"}
              onClick={() => change({ table: search.table ? undefined : true })}
            >
              {search.table ? "As a chart" : "As a table"}
            </Button>
          </div>
        </div>
        {search.table ? (
          <TimelineTable onOpen={(span) => change({ span })} />
        ) : (
          <Waterfall
            rows={rows}
            chart={chart}
            timeline={timeline}
            live={live}
            away={live && !reachable}
            selected={search.span}
            onOpen={(span) => change({ span })}
            onTurn={turn}
          />
        )}
      </section>
      {selected ? <SpanDetail row={selected} onClose={() => change({ span: undefined })} /> : null}
    </div>
  );

  function turnAll(value: true | undefined): void {
    setTurned(new Set());
    change({ full: value });
  }
}

function DensityButtons({ full, onChange }: { full: boolean; onChange: (full: true | undefined) => void }) {
  return (
    <div className="segmented">
      <button type="button" aria-pressed={!full} onClick={() => full && onChange(undefined)}>
        Compact
      </button>
      <button type="button" aria-pressed={full} onClick={() => !full && onChange(true)}>
        Full
      </button>
    </div>
  );
}

function ZoomButtons({ chart }: { chart: ReturnType<typeof useChart> }) {
  const whole = chart.from === 0 && chart.to === 1;
  return (
    <div className="segmented">
      <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => chart.zoomBy(0.6)}>
        +
      </button>
      <button
        type="button"
        aria-label="Zoom out"
        title="Zoom out (−)"
        disabled={whole}
        onClick={() => chart.zoomBy(1.7)}
      >
        −
      </button>
      <button type="button" title="Show all (0)" disabled={whole} onClick={chart.showAll}>
        All
      </button>
    </div>
  );
}

/** The hop that a span belongs to, which is open while the span's detail is. */
function hopAround(span: Span | undefined): string {
  return span?.step ? hopId(span.life, span.hop, span.step) : "";
}

function useSearchChange(): (change: Partial<RunSearch>) => void {
  const navigate = useNavigate({ from: "/runs/$runId/timeline" });
  return (change) =>
    void navigate({ search: (before: RunSearch) => ({ ...before, ...change }), replace: true, resetScroll: false });
}

/** The line of the span in the URL; also one of a hop that is closed. */
function useSelected(id: string | undefined, rows: readonly Row[]): Row | null {
  const { model } = useRunView();
  if (!id) return null;
  const shown = rows.find((row) => row.id === id);
  if (shown) return shown;
  const span = model.timeline.spans.get(id);
  return span ? { kind: "span", id, depth: 0, span } : null;
}
