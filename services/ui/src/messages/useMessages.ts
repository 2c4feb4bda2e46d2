import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { listMessages } from "../api/endpoints";
import { keys } from "../api/keys";
import type { StoredMessage } from "../api/types";

const PAGE_SIZE = 100;

/** Messages of all runs, newest first, page by page. */
export function useMessages() {
  const query = useInfiniteQuery({
    queryKey: keys.messages,
    queryFn: ({ pageParam, signal }) => listMessages(PAGE_SIZE, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const messages = useMemo(() => {
    const seen = new Map<string, StoredMessage>();
    for (const one of query.data?.pages.flatMap((page) => page.messages) ?? []) {
      seen.set(`${one.run_id} ${one.message.message_id}`, one);
    }
    return [...seen.values()];
  }, [query.data]);
  return { ...query, messages };
}
