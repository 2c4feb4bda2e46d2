import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { listRuns, type RunFilter } from "../api/endpoints";
import { keys } from "../api/keys";
import type { ListedRun } from "../api/types";
import { byAgent, keepUnreachable } from "./keepUnreachable";

const PAGE_SIZE = 100;

/** Runs that pass the filter, newest first, page by page; those of an agent that is away stay as they were. */
export function useRuns(filter: RunFilter) {
  const query = useInfiniteQuery({
    queryKey: keys.runs(filter),
    queryFn: ({ pageParam, signal }) => listRuns(filter, PAGE_SIZE, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_page_token || undefined,
    placeholderData: keepPreviousData,
  });
  const last = useRef<{ filter: string; rows: Map<string, ListedRun[]> }>({ filter: "", rows: new Map() });
  const name = JSON.stringify(filter);

  const unreachable = useMemo(
    () => [...new Set(query.data?.pages.flatMap((page) => page.unreachable) ?? [])],
    [query.data],
  );
  const rows = useMemo(() => {
    const seen = new Map<string, ListedRun>();
    for (const run of query.data?.pages.flatMap((page) => page.runs) ?? []) seen.set(run.run_id, run);
    return keepUnreachable(
      [...seen.values()],
      unreachable,
      last.current.filter === name ? last.current.rows : new Map(),
    );
  }, [query.data, unreachable, name]);

  useEffect(() => {
    if (!query.isPlaceholderData) last.current = { filter: name, rows: byAgent(rows) };
  }, [rows, name, query.isPlaceholderData]);

  return { ...query, rows, unreachable };
}
