import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "../api/errors";

/** The stream keeps what was read up to date, so nothing is read again merely because a window got the focus. */
export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        refetchOnWindowFocus: false,
        retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
        retryDelay: (attempt) => Math.min(4000, 500 * 2 ** attempt),
        networkMode: "always",
      },
      mutations: { retry: false, networkMode: "always" },
    },
  });
}
