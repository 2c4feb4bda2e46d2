import { useState } from "react";
import type { Backup } from "../api/types";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Loading } from "../components/Loading";
import { PageHead } from "../components/PageHead";
import { AgentBackupsCard } from "./AgentBackupsCard";
import { RestoreDialog } from "./RestoreDialog";
import { useBackups } from "./useBackups";
import "./backups.css";

export function BackupsPage() {
  const backups = useBackups();
  const [restoring, setRestoring] = useState<{ agent: string; backup: Backup } | null>(null);
  return (
    <>
      <PageHead title="Backups" note="Verified copies of each agent's file of runs, kept beside it." />
      {backups.isPending ? <Loading what="backups" /> : null}
      {backups.error && !backups.data ? (
        <ErrorState error={backups.error} retry={() => void backups.refetch()} />
      ) : null}
      {backups.data?.length === 0 ? (
        <EmptyState icon="backups" title="No agent is known.">
          <p>Backups belong to agents; they appear here as soon as one runs.</p>
        </EmptyState>
      ) : null}
      <div className="stack">
        {backups.data?.map((agent) => (
          <AgentBackupsCard
            key={agent.agent}
            agent={agent}
            onRestore={(backup) => setRestoring({ agent: agent.agent, backup })}
          />
        ))}
      </div>
      {restoring ? (
        <RestoreDialog agent={restoring.agent} backup={restoring.backup} onClose={() => setRestoring(null)} />
      ) : null}
    </>
  );
}
