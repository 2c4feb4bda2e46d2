import { useQuery } from "@tanstack/react-query";
import { listBackups } from "../api/endpoints";
import { keys } from "../api/keys";

const PERIOD_MS = 30_000;

/** Backups of all agents; a schedule makes new ones without an event, so they are read anew from time to time. */
export function useBackups() {
  return useQuery({ queryKey: keys.backups, queryFn: listBackups, refetchInterval: PERIOD_MS });
}
