import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { getConfig } from "../api/endpoints";
import { keys } from "../api/keys";
import type { Config } from "../api/types";
import { givesRights } from "./checkToken";
import { tokenStore } from "./tokenStore";

export interface WriteAccess {
  allowed: boolean;
  /** Why not, for a person; empty when allowed. */
  reason: string;
  canEnterToken: boolean;
}

export function useToken() {
  return useSyncExternalStore(tokenStore.subscribe, tokenStore.get);
}

export function useConfig() {
  const { token } = useToken();
  return useQuery({ queryKey: keys.config(token), queryFn: () => readConfig(token), staleTime: 60_000 });
}

export function useWriteAccess(): WriteAccess {
  return accessOf(useConfig().data);
}

/** A token that the gateway does not know is forgotten, and another is asked for. */
async function readConfig(token: string | null): Promise<Config> {
  const config = await getConfig();
  if (token && !givesRights(config)) tokenStore.refused(token);
  return config;
}

export function accessOf(config: Config | undefined): WriteAccess {
  if (!config) return { allowed: false, reason: "The gateway has not answered yet.", canEnterToken: false };
  if (config.writable) return { allowed: true, reason: "", canEnterToken: true };
  if (!config.token_required) {
    return { allowed: false, reason: "Read-only: this gateway changes nothing.", canEnterToken: false };
  }
  return { allowed: false, reason: "Read-only: enter a token to change something.", canEnterToken: true };
}
