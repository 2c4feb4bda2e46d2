import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { listServices } from "../api/endpoints";
import { keys } from "../api/keys";
import { usageHistory } from "./usageHistory";

export function useServices() {
  return useQuery({ queryKey: keys.services, queryFn: listServices });
}

export function useUsageHistory() {
  return useSyncExternalStore(usageHistory.subscribe, usageHistory.get);
}
