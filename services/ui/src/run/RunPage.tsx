import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useMemo, useSyncExternalStore } from "react";
import { getRun, listAgents } from "../api/endpoints";
import { ApiError } from "../api/errors";
import { keys } from "../api/keys";
import { useShortcuts } from "../app/useShortcuts";
import { oneLine } from "../components/cutText";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Loading } from "../components/Loading";
import { PageHead } from "../components/PageHead";
import { effectiveRun } from "./effectiveRun";
import { PendingPanel } from "./header/PendingPanel";
import { RunHeader } from "./header/RunHeader";
import { RunNotices } from "./header/RunNotices";
import { useAnnouncements } from "./header/useAnnouncements";
import { RunContext, type RunView } from "./runContext";
import { useJournal } from "./useJournal";
import "./run.css";

const VIEWS = [
  { to: "/runs/$runId/timeline", label: "Timeline" },
  { to: "/runs/$runId/graph", label: "Graph" },
  { to: "/runs/$runId/decisions", label: "Decisions" },
  { to: "/runs/$runId/answers", label: "Answers" },
  { to: "/runs/$runId/messages", label: "Messages" },
  { to: "/runs/$runId/events", label: "Events" },
] as const;

export function RunPage() {
  const { runId } = useParams({ from: "/runs/$runId" });
  return <LoadedRun key={runId} runId={runId} />;
}

function LoadedRun({ runId }: { runId: string }) {
  const detail = useQuery({ queryKey: keys.run(runId), queryFn: ({ signal }) => getRun(runId, signal) });
  const agents = useQuery({ queryKey: keys.agents, queryFn: listAgents });
  const agentId = detail.data?.agent ?? null;
  const read = detail.data?.run;
  const realId = read?.run_id ?? runId;
  const journal = useJournal(realId, agentId);
  const { model } = journal;
  const starts = detail.data?.process_starts;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a journal that was read anew has lost them
  useEffect(() => model.add(starts ?? []), [model, starts, journal.complete]);
  const version = useSyncExternalStore(model.subscribe, () => model.version);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its version tells
  const run = useMemo(() => read && effectiveRun(read, model), [read, model, version]);
  const agent = agents.data?.find((each) => each.agent === agentId);
  const reachable = agent?.reachable ?? true;
  useTitle(run?.prompt);
  useRealId(runId, read?.run_id);
  useViewKeys(runId);
  useAnnouncements(run, model);

  if (!run || !detail.data) {
    if (!detail.error) return <Loading what="the run" />;
    return isMissing(detail.error) ? (
      <MissingRun runId={runId} message={detail.error.message} />
    ) : (
      <ErrorState error={detail.error} retry={() => void detail.refetch()} />
    );
  }
  const view: RunView = {
    runId: realId,
    run,
    graph: detail.data.graph,
    agent: detail.data.agent,
    reachable,
    model,
    complete: journal.complete,
  };
  return (
    <RunContext value={view}>
      <div className="run-page">
        <RunHeader readAt={detail.dataUpdatedAt} />
        <RunNotices runError={detail.error} journalError={journal.error} />
        {run.pending_input ? <PendingPanel pending={run.pending_input} /> : null}
        <nav className="run-tabs" aria-label="Views of this run">
          {VIEWS.map(({ to, label }, place) => (
            <Link
              key={to}
              to={to}
              params={{ runId }}
              className="run-tab"
              title={`${label} (${place + 1})`}
              activeOptions={{ includeSearch: false }}
            >
              {label}
            </Link>
          ))}
        </nav>
        <Outlet />
      </div>
    </RunContext>
  );
}

function MissingRun({ runId, message }: { runId: string; message: string }) {
  return (
    <>
      <PageHead title="No such run" />
      <EmptyState icon="search" title="There is no run with this id">
        <p className="mono small">{oneLine(runId, 80)}</p>
        <p>{oneLine(message, 300)}</p>
        <p>
          <Link to="/runs">All runs</Link>
        </p>
      </EmptyState>
    </>
  );
}

function isMissing(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 404 || error.status === 400);
}

function useTitle(prompt: string | undefined): void {
  useEffect(() => {
    if (prompt !== undefined) document.title = `${oneLine(prompt, 60)} · Milepost`;
  }, [prompt]);
}

/** A run may be addressed by its correlation id; what is kept up to date goes by its own. */
function useRealId(runId: string, realId: string | undefined): void {
  const navigate = useNavigate();
  useEffect(() => {
    if (realId && realId !== runId) void navigate({ to: ".", params: { runId: realId }, search: true, replace: true });
  }, [runId, realId, navigate]);
}

function useViewKeys(runId: string): void {
  const navigate = useNavigate();
  const go =
    ({ to }: (typeof VIEWS)[number]) =>
    () =>
      void navigate({ to, params: { runId } });
  useShortcuts(Object.fromEntries(VIEWS.map((view, place) => [String(place + 1), go(view)])));
}
