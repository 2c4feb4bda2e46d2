import { type InfiniteData, QueryClient } from "@tanstack/react-query";
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
  expect(renew).toHaveBeenCalledWith();
});

it("does not read lists anew for each step of a run", () => {
  const queries = withRuns();
  const renew = vi.spyOn(queries, "invalidateQueries");
  const updater = new CacheUpdater(queries);
  updater.apply({ type: "journal", agent: "a", event: anEvent({ run_id: "r1", type: "StepStarted", sequence: 11 }) });
  expect(renew).not.toHaveBeenCalledWith({ queryKey: keys.allRuns });
  updater.apply({ type: "journal", agent: "a", event: anEvent({ run_id: "r1", type: "SomethingNew", sequence: 12 }) });
  expect(renew).toHaveBeenCalledWith({ queryKey: keys.allRuns });
  updater.stop();
});
