import { useSyncExternalStore } from "react";
import { clock, ticker } from "./clock";

/** The server's time in milliseconds, anew every second. */
export function useNow(): number {
  useSyncExternalStore(ticker.subscribe, ticker.get, ticker.get);
  return clock.now();
}
