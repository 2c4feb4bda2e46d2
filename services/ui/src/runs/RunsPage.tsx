import { getRouteApi } from "@tanstack/react-router";
import type { RowSelectionState } from "@tanstack/react-table";
import { useCallback, useMemo, useRef, useState } from "react";
import type { ListedRun } from "../api/types";
import { useShortcuts } from "../app/useShortcuts";
import { formatCount } from "../clock/format";
import { Button } from "../components/Button";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Loading } from "../components/Loading";
import { PageHead } from "../components/PageHead";
import { WriteButton } from "../components/WriteButton";
import { BulkCancelDialog } from "./BulkCancelDialog";
import { NewRun } from "./NewRun";
import { RunsFilter } from "./RunsFilter";
import { RunsTable } from "./RunsTable";
import { isFiltered, type RunsSearch } from "./runsSearch";
import { useRuns } from "./useRuns";
import { useAgents, workflowsOf } from "./useWorkflows";
import "./runs.css";

const route = getRouteApi("/runs");

export function RunsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const searchInput = useRef<HTMLInputElement>(null);
  const change = useCallback(
    (next: Partial<RunsSearch>) => {
      void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
    },
    [navigate],
  );
  const { q, workflow, state, outcome } = search;
  const filter = useMemo(() => ({ q, workflow, state, outcome }), [q, workflow, state, outcome]);
  const runs = useRuns(filter);
  const agents = useAgents();
  const workflows = workflowsOf(agents.data ?? []);
  const away = useMemo(
    () =>
      new Set([...(agents.data ?? []).filter((one) => !one.reachable).map((one) => one.agent), ...runs.unreachable]),
    [agents.data, runs.unreachable],
  );
  useShortcuts({
    "/": () => searchInput.current?.focus(),
    n: () => change({ new: "1" }),
    j: focusTable,
    k: focusTable,
    ArrowDown: focusTable,
  });
  return (
    <>
      <PageHead title="Runs" note={noteOf(runs.rows.length, runs.hasNextPage)}>
        <WriteButton variant="primary" icon="plus" onClick={() => change({ new: "1" })}>
          New run
        </WriteButton>
      </PageHead>
      <RunsFilter
        search={search}
        workflows={workflows.map((choice) => choice.workflow)}
        onChange={change}
        searchInput={searchInput}
      />
      {away.size > 0 ? (
        <p className="notice tone-wait" role="status">
          {[...away].join(", ")} {away.size === 1 ? "does" : "do"} not answer. {away.size === 1 ? "Its" : "Their"} runs
          are shown as they were last seen, and go on when it is back.
        </p>
      ) : null}
      <RunsBody
        runs={runs}
        away={away}
        filtered={isFiltered(search)}
        onNew={() => change({ new: "1" })}
        onClear={() => change({ q: undefined, workflow: undefined, state: undefined, outcome: undefined })}
      />
      <NewRun
        open={search.new === "1"}
        like={search.like}
        onClose={() => change({ new: undefined, like: undefined })}
        workflows={workflows}
      />
    </>
  );
}

interface RunsBodyProps {
  runs: ReturnType<typeof useRuns>;
  away: ReadonlySet<string>;
  filtered: boolean;
  onNew: () => void;
  onClear: () => void;
}

function RunsBody({ runs, away, filtered, onNew, onClear }: RunsBodyProps) {
  const navigate = route.useNavigate();
  const [selection, setSelection] = useState<RowSelectionState>({});
  const [cancelling, setCancelling] = useState<readonly ListedRun[] | null>(null);
  const selected = runs.rows.filter((run) => selection[run.run_id]);
  const open = useCallback(
    (run: ListedRun) => {
      void navigate({ to: "/runs/$runId", params: { runId: run.run_id } });
    },
    [navigate],
  );
  const { fetchNextPage, isFetchingNextPage } = runs;
  const more = useCallback(() => {
    if (!isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, isFetchingNextPage]);

  return (
    <>
      {runs.isPending ? <Loading what="runs" /> : null}
      {runs.error && runs.rows.length === 0 ? (
        <ErrorState error={runs.error} retry={() => void runs.refetch()} />
      ) : null}
      {runs.isSuccess && runs.rows.length === 0 ? <NoRuns filtered={filtered} onNew={onNew} onClear={onClear} /> : null}
      {runs.rows.length > 0 ? (
        <div className="card runs-card">
          <RunsTable
            rows={runs.rows}
            hasMore={runs.hasNextPage}
            onMore={more}
            away={away}
            selection={selection}
            onSelection={setSelection}
            onOpen={open}
          />
        </div>
      ) : null}
      {selected.length > 0 ? (
        <section className="bulk-bar" aria-label="Selection">
          <span role="status">{selected.length === 1 ? "1 run selected" : `${selected.length} runs selected`}</span>
          <Button variant="quiet" onClick={() => setSelection({})}>
            Clear
          </Button>
          <WriteButton variant="danger" onClick={() => setCancelling(selected)}>
            Cancel…
          </WriteButton>
        </section>
      ) : null}
      {cancelling ? (
        <BulkCancelDialog
          runs={cancelling}
          onClose={() => setCancelling(null)}
          onDone={() => {
            setCancelling(null);
            setSelection({});
          }}
        />
      ) : null}
    </>
  );
}

interface NoRunsProps {
  filtered: boolean;
  onNew: () => void;
  onClear: () => void;
}

function NoRuns({ filtered, onNew, onClear }: NoRunsProps) {
  if (filtered) {
    return (
      <EmptyState icon="filter" title="No run matches this filter.">
        <p>Search looks in prompts, and at the beginning of ids.</p>
        <Button onClick={onClear}>Clear filter</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon="runs" title="No runs yet.">
      <p>
        A run takes a prompt through the steps of a workflow. It survives crashes, and everything it does is shown here.
      </p>
      <WriteButton variant="primary" icon="plus" onClick={onNew}>
        Start the first run
      </WriteButton>
    </EmptyState>
  );
}

function noteOf(count: number, more: boolean): string {
  if (count === 0) return "";
  return `${formatCount(count)}${more ? " newest" : ""} ${count === 1 ? "run" : "runs"}`;
}

function focusTable(): void {
  document.querySelector<HTMLElement>(".runs-table tr[tabindex='0']")?.focus();
}
