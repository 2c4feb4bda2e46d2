import { memo, type ReactNode } from "react";
import { formatDuration } from "../../clock/format";
import { cutText } from "../../components/cutText";
import { Icon, type IconName } from "../../components/Icon";
import { lifeBegin } from "../model/marks";
import { extentOf, type Row, statusOf } from "../model/rows";
import type { HopPart, Life, Pending, Span, SpanKind, SpanStatus } from "../model/spans";
import { useRunView } from "../runContext";
import { SpanBars } from "./Bars";
import type { Chart } from "./chart";
import { KIND_ICONS, STATUS_LOOKS, statusLook } from "./looks";

/** A hop that was tried hundreds of times shows its newest tries on its own line; all of them when it is open. */
const MOST_BARS = 200;

interface RowProps {
  row: Row;
  domId: string;
  top: number;
  place: number;
  chart: Chart;
  active: boolean;
  away: boolean;
  selected: boolean;
  onOpen: (id: string) => void;
  onTurn: (hop: string) => void;
}

function WaterfallLine({ row, domId, top, place, chart, active, away, selected, onOpen, onTurn }: RowProps) {
  const classes = ["wf-row", `wf-${row.kind}`, active ? "wf-active" : "", selected ? "wf-selected" : ""].join(" ");
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the treegrid around it
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus and names its active line
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid takes the keys
    <div
      id={domId}
      role="row"
      className={classes}
      style={{ transform: `translateY(${top}px)` }}
      aria-level={row.depth + 1}
      aria-rowindex={place + 1}
      aria-expanded={row.kind === "hop" ? row.open : undefined}
      aria-selected={selected}
      onClick={() => onOpen(row.id)}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: see the treegrid around it */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: see above */}
      <div className="wf-label" role="gridcell" style={{ paddingLeft: 12 + row.depth * 18 }}>
        <Label row={row} away={away} onTurn={onTurn} />
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: see the treegrid around it */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: see above */}
      <div className="wf-track" role="gridcell" aria-label={spoken(row)}>
        <Track row={row} chart={chart} />
      </div>
    </div>
  );
}

export const WaterfallRow = memo(
  WaterfallLine,
  (before, after) =>
    before.row.id === after.row.id &&
    before.top === after.top &&
    before.chart === after.chart &&
    before.active === after.active &&
    before.away === after.away &&
    before.selected === after.selected &&
    isStill(before.row) &&
    openOf(before.row) === openOf(after.row),
);

/** Whether nothing of a line can have changed: what has ended stays as it is. */
function isStill(row: Row): boolean {
  return row.kind === "span" && row.span.end !== null && row.span.kind !== "approval";
}

function openOf(row: Row): boolean {
  return row.kind === "hop" && row.open;
}

function Label({ row, away, onTurn }: { row: Row; away: boolean; onTurn: (hop: string) => void }) {
  if (row.kind === "life") return <LifeLabel life={row.life} />;
  if (row.kind === "hop") return <HopLabel part={row.part} open={row.open} away={away} onTurn={() => onTurn(row.id)} />;
  if (row.kind === "pending") return <PendingLabel pending={row.pending} />;
  return <SpanLabel span={row.span} away={away} />;
}

function LifeLabel({ life }: { life: Life }) {
  const icon: IconName = life.cause === "crash" ? "alert" : life.cause ? "restore" : "play";
  return (
    <>
      <Icon name={icon} size={14} className={life.cause === "crash" ? "wf-bad" : ""} />
      <strong>Process {life.index + 1}</strong>
      <span className="wf-detail">{lifeBegin(life)}</span>
    </>
  );
}

function HopLabel({ part, open, away, onTurn }: { part: HopPart; open: boolean; away: boolean; onTurn: () => void }) {
  const { graph } = useRunView();
  const role = part.role || graph?.steps.find((step) => step.name === part.step)?.role;
  return (
    <>
      <button
        type="button"
        tabIndex={-1}
        className={`wf-turn ${open ? "wf-turned" : ""}`}
        aria-label={open ? "Close" : "Open"}
        onClick={(event) => {
          event.stopPropagation();
          onTurn();
        }}
      >
        <Icon name="chevron" size={12} />
      </button>
      <strong>{part.step}</strong>
      <span className="wf-detail">
        {[role, part.cycle > 0 ? `cycle ${part.cycle}` : "", `hop ${part.hop}`].filter(Boolean).join(" · ")}
      </span>
      <StatusSign kind="attempt" status={statusOf(part)} away={away} />
    </>
  );
}

function PendingLabel({ pending }: { pending: Pending }) {
  return (
    <>
      <span className="spinner" aria-hidden="true" />
      <span>{pendingText(pending)}</span>
    </>
  );
}

function SpanLabel({ span, away }: { span: Span; away: boolean }) {
  return (
    <>
      <Icon name={span.title === "Ended" ? "stop" : KIND_ICONS[span.kind]} size={14} className="wf-kind" />
      <span className="wf-title">{cutText(span.title, 80)}</span>
      <span className="wf-detail" title={cutText(span.detail, 300)}>
        {cutText(span.detail, 120)}
      </span>
      <StatusSign kind={span.kind} status={span.status} away={away} />
    </>
  );
}

function StatusSign({ kind, status, away }: { kind: SpanKind; status: SpanStatus; away: boolean }) {
  if (away && status === "running") return <span className="wf-status tone-wait">no answer</span>;
  const look = statusLook(kind, status);
  if (!look.word || status === "done") return null;
  return (
    <span className={`wf-status tone-${look.tone}`} title={look.word}>
      <Icon name={look.icon} size={12} />
      <span className="wf-status-word">{look.word}</span>
    </span>
  );
}

function Track({ row, chart }: { row: Row; chart: Chart }): ReactNode {
  if (row.kind === "life") return null;
  if (row.kind === "span") return <SpanBars span={row.span} chart={chart} labelled />;
  if (row.kind === "pending") {
    const ghost = {
      id: "pending",
      kind: row.pending.kind,
      start: row.pending.since,
      end: null,
      status: "running",
    } as const;
    return <SpanBars span={{ ...ghost, segments: [], title: "", detail: "" }} chart={chart} labelled />;
  }
  const { spans } = row.part;
  const newest = spans.findLast((span) => span.kind !== "message" && span.end !== span.start) ?? spans.at(-1);
  return spans
    .slice(-MOST_BARS)
    .map((span) => <SpanBars key={span.id} span={span} chart={chart} labelled={span === newest} whole={row.part} />);
}

function spoken(row: Row): string {
  if (row.kind === "life") return "";
  if (row.kind === "pending") return "going on";
  if (row.kind === "hop") {
    const { start, end } = extentOf(row.part);
    return `${STATUS_LOOKS[statusOf(row.part)].word || "done"}, ${end === null ? "not ended" : formatDuration(end - start)}`;
  }
  const { span } = row;
  const length = span.end === null ? "not ended" : formatDuration(span.end - span.start);
  return [statusLook(span.kind, span.status).word, span.end === span.start ? "" : length].filter(Boolean).join(", ");
}

export function pendingText(pending: Pending): string {
  if (pending.kind === "recommend") return "The router ranks services…";
  if (pending.kind === "decide") return "The arbitrator decides…";
  return "The step waits for its service…";
}
