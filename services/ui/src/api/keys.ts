import type { RunFilter } from "./endpoints";

/** Keys of everything that is read from the gateway, so that events know what to renew. */
export const keys = {
  config: (token: string | null) => ["config", token] as const,
  agents: ["agents"] as const,
  services: ["services"] as const,
  backups: ["backups"] as const,
  allRuns: ["runs"] as const,
  runs: (filter: RunFilter) => ["runs", filter] as const,
  run: (runId: string) => ["run", runId] as const,
  runMessages: (runId: string) => ["run", runId, "messages"] as const,
  messages: ["messages"] as const,
};
