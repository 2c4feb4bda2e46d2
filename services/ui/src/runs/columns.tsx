import { Link } from "@tanstack/react-router";
import { createColumnHelper, rowSelectionFeature, tableFeatures } from "@tanstack/react-table";
import type { ListedRun } from "../api/types";
import { oneLine } from "../components/cutText";
import { Duration } from "../components/Duration";
import { Icon } from "../components/Icon";
import { RunBadge } from "../components/RunBadge";
import { Time } from "../components/Time";

export const features = tableFeatures({ rowSelectionFeature });

const column = createColumnHelper<typeof features, ListedRun>();

export const columns = column.columns([
  column.display({
    id: "select",
    header: () => <span className="visually-hidden">Selected</span>,
    cell: ({ row }) => (
      <input
        type="checkbox"
        tabIndex={-1}
        aria-label={`Select ${oneLine(row.original.prompt, 60)}`}
        checked={row.getIsSelected()}
        onChange={row.getToggleSelectedHandler()}
        onClick={(event) => event.stopPropagation()}
      />
    ),
  }),
  column.display({
    id: "status",
    header: "Status",
    cell: ({ row: { original: run } }) => (
      <span className="run-status">
        <RunBadge run={run} />
        {run.recoveries > 0 ? (
          <span className="run-recovered" title={`Went on after ${run.recoveries} crashes or restarts`}>
            <Icon name="restore" size={13} />
            <span className="visually-hidden">, went on after crashes or restarts: </span>
            {run.recoveries}
          </span>
        ) : null}
      </span>
    ),
  }),
  column.display({
    id: "prompt",
    header: "Prompt",
    cell: ({ row: { original: run } }) => (
      <Link
        to="/runs/$runId"
        params={{ runId: run.run_id }}
        className="run-link"
        tabIndex={-1}
        onClick={(event) => event.stopPropagation()}
      >
        {oneLine(run.prompt)}
      </Link>
    ),
  }),
  column.accessor("workflow", { header: "Workflow" }),
  column.accessor("current_step", { header: "Step", cell: ({ getValue }) => getValue() || <Dash /> }),
  column.display({
    id: "cycle",
    header: "Cycle",
    cell: ({ row: { original: run } }) => (run.max_cycles > 0 ? `${run.current_cycle} of ${run.max_cycles}` : <Dash />),
  }),
  column.display({
    id: "hops",
    header: "Hops left",
    cell: ({ row: { original: run } }) => `${run.remaining_hops} of ${run.max_hops}`,
  }),
  column.display({
    id: "started",
    header: "Started",
    cell: ({ row: { original: run } }) => <Time at={run.create_time} />,
  }),
  column.display({
    id: "duration",
    header: "Duration",
    cell: ({ row: { original: run } }) => <Duration from={run.create_time} to={run.end_time} />,
  }),
]);

function Dash() {
  return <span className="faint">–</span>;
}
