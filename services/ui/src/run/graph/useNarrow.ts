import { useSyncExternalStore } from "react";

const QUERY = "(max-width: 860px)";

/** Whether the window is too narrow for a graph from left to right. */
export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => window.matchMedia(QUERY).matches);
}

function subscribe(listener: () => void): () => void {
  const media = window.matchMedia(QUERY);
  media.addEventListener("change", listener);
  return () => media.removeEventListener("change", listener);
}
