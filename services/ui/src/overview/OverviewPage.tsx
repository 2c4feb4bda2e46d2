import { useState } from "react";
import { useConfig } from "../auth/useWriteAccess";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Loading } from "../components/Loading";
import { PageHead } from "../components/PageHead";
import { useAgents } from "../runs/useWorkflows";
import { AgentCard } from "./AgentCard";
import { Alerts } from "./Alerts";
import { ModeDialog } from "./ModeDialog";
import { ServicesCard } from "./ServicesCard";
import { Tiles } from "./Tiles";
import { useServices } from "./useServices";
import { WaitingCard } from "./WaitingCard";
import "./overview.css";

export function OverviewPage() {
  const config = useConfig();
  const agents = useAgents();
  const services = useServices();
  const [scope, setScope] = useState<string | null>(null);
  const known = agents.data ?? [];
  return (
    <>
      <PageHead
        title="Overview"
        note={config.data ? `${config.data.mode} · version ${config.data.version}` : undefined}
      />
      <div className="overview">
        <Alerts agents={known} />
        <Tiles agents={known} services={services.data ?? []} onMode={() => setScope("")} />
        <WaitingCard />
        <ServicesCard />
        <section aria-labelledby="agents-title" className="agents">
          <h2 id="agents-title">Agents</h2>
          {agents.isPending ? <Loading what="agents" /> : null}
          {agents.error && !agents.data ? (
            <ErrorState error={agents.error} retry={() => void agents.refetch()} />
          ) : null}
          {agents.data?.length === 0 ? (
            <EmptyState icon="server" title="No agent is known.">
              <p>An agent comes with each AgentWorkflow. Apply one, or name manifests to milepost up.</p>
            </EmptyState>
          ) : null}
          <div className="agent-grid">
            {known.map((agent) => (
              <AgentCard key={agent.agent} agent={agent} onMode={() => setScope(agent.agent)} />
            ))}
          </div>
        </section>
      </div>
      {scope === null ? null : <ModeDialog agents={known} scope={scope} onClose={() => setScope(null)} />}
    </>
  );
}
