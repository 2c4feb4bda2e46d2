import { type InfiniteData, QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { anEvent, aRun } from "../../test/samples";
import { keys } from "../api/keys";
import type { RunPage } from "../api/types";
import { CacheUpdater } from "./cacheUpdater";

function withRuns(): QueryClient {
  const queries = new QueryClient();
  const page: RunPage = {
    runs: [aRun({ run_id: "r1" }), aRun({ run_id: "r2" })],
    next_page_token: "",
    unreachable: [],
  };
  queries.setQueryData<InfiniteData<RunPage>>(keys.runs({}), { pages: [page], pageParams: [""] });
  return queries;
}

const rows = (queries: QueryClient) => queries.getQueryData<InfiniteData<RunPage>>(keys.runs({}))?.pages[0]?.runs ?? [];

it("changes the row of a run at once, and only that one", () => {
  const queries = withRuns();
  const before = rows(queries)[1];
  const updater = new CacheUpdater(queries);
  updater.apply({ type: "journal", agent: "a", event: anEvent({ run_id: "r1", type: "RunPaused", sequence: 11 }) });
  expect(rows(queries).map((run) => run.state)).toEqual(["paused", "running"]);
  expect(rows(queries)[1]).toBe(before);
  updater.stop();
});

it("reads everything anew when something may have been missed", () => {
  const queries = withRuns();
  const renew = vi.spyOn(queries, "invalidateQueries");
  new CacheUpdater(queries).apply({ type: "resync", reason: "slow" });
  expect(renew).toHaveBeenCalledWith({ queryKey: [], exact: false });
});

it("does not read lists anew for each step of a run", () => {
  const queries = withRuns();
  const renew = vi.spyOn(queries, "invalidateQueries");
  const updater = new CacheUpdater(queries);
  updater.apply({ type: "journal", agent: "a", event: anEvent({ run_id: "r1", type: "StepStarted", sequence: 11 }) });
  expect(renew).not.toHaveBeenCalledWith({ queryKey: keys.allRuns, exact: false });
  updater.apply({ type: "journal", agent: "a", event: anEvent({ run_id: "r1", type: "SomethingNew", sequence: 12 }) });
  expect(renew).toHaveBeenCalledWith({ queryKey: keys.allRuns, exact: false });
  updater.stop();
});

it("reads a list again when its first reading was under way as something happened", async () => {
  const queries = new QueryClient();
  const answers: ((rows: string) => void)[] = [];
  const observer = new QueryObserver(queries, {
    queryKey: keys.runs({ state: "waiting" }),
    queryFn: () => new Promise<string>((resolve) => answers.push(resolve)),
  });
  const leave = observer.subscribe(() => undefined);
  const updater = new CacheUpdater(queries);
  updater.apply({ type: "journal", agent: "a", event: anEvent({ type: "ApprovalRequested" }) });
  answers[0]?.("as it was before");
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  answers[1]?.("as it is");
  await vi.waitFor(() => expect(observer.getCurrentResult().data).toBe("as it is"));
  updater.stop();
  leave();
});
