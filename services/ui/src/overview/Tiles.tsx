import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Agent, Service } from "../api/types";
import { formatCount, formatDuration, timeOf } from "../clock/format";
import { Countdown } from "../components/Countdown";
import { Time } from "../components/Time";
import { WriteButton } from "../components/WriteButton";
import { commonMode, modeLook, modeMeaning } from "./modeLook";

interface TilesProps {
  agents: readonly Agent[];
  services: readonly Service[];
  onMode: () => void;
}

/** The state of everything in four figures. */
export function Tiles({ agents, services, onMode }: TilesProps) {
  return (
    <div className="tiles">
      <RunsTile agents={agents} />
      <ServicesTile services={services} />
      <ModeTile agents={agents} onMode={onMode} />
      <DurabilityTile agents={agents} />
    </div>
  );
}

function Tile({ title, value, children }: { title: string; value: ReactNode; children: ReactNode }) {
  return (
    <section className="card tile" aria-label={title}>
      <h2 className="tile-title">{title}</h2>
      <p className="tile-value">{value}</p>
      <div className="tile-note">{children}</div>
    </section>
  );
}

function RunsTile({ agents }: { agents: readonly Agent[] }) {
  const sum = (field: "running" | "waiting" | "paused") =>
    agents.reduce((total, agent) => total + (agent.status?.[field] ?? 0), 0);
  return (
    <Tile
      title="Running"
      value={
        <Link to="/runs" search={{ state: "running" }}>
          {formatCount(sum("running"))}
        </Link>
      }
    >
      {formatCount(sum("waiting"))} waiting, {formatCount(sum("paused"))} paused
    </Tile>
  );
}

function ServicesTile({ services }: { services: readonly Service[] }) {
  const unready = services.filter((service) => service.state !== "ready");
  return (
    <Tile title="Services ready" value={`${services.length - unready.length} of ${services.length}`}>
      {unready.length > 0 ? (
        <span className="warning">Not ready: {unready.map((service) => service.name).join(", ")}</span>
      ) : services.length > 0 ? (
        "All answer"
      ) : (
        "None is known"
      )}
    </Tile>
  );
}

function ModeTile({ agents, onMode }: { agents: readonly Agent[]; onMode: () => void }) {
  const common = commonMode(agents);
  const known = agents.some((agent) => agent.observability);
  return (
    <Tile
      title="Observability"
      value={
        <>
          {common ? modeLook(common.mode).word : known ? "Mixed" : "Unknown"}
          {common?.until ? (
            <span className="tile-count">
              <Countdown until={common.until} />
            </span>
          ) : null}
        </>
      }
    >
      <span>
        {common
          ? modeMeaning(common.mode, endpointOf(agents))
          : known
            ? "Agents are in different modes."
            : "No agent is known."}
      </span>
      <WriteButton className="button-small" disabled={agents.length === 0} onClick={onMode}>
        Switch…
      </WriteButton>
    </Tile>
  );
}

function DurabilityTile({ agents }: { agents: readonly Agent[] }) {
  const stores = agents.flatMap((agent) => (agent.status?.store ? [agent.status.store] : []));
  const failing = stores.some((store) => store.failure);
  const slowest = Math.max(0, ...stores.map((store) => store.commit_p95_ms));
  const never = stores.some((store) => !store.last_backup_time);
  const times = stores.map((store) => store.last_backup_time).filter((time) => time !== null);
  const oldest = times.sort((one, other) => timeOf(one) - timeOf(other))[0] ?? null;
  return (
    <Tile
      title="Durability"
      value={stores.length === 0 ? "Unknown" : failing ? <span className="failing">Failing</span> : "Writing"}
    >
      {stores.length === 0 ? (
        "No agent is known."
      ) : (
        <>
          <span>Commits take {formatDuration(slowest)} at p95</span>
          <span>
            {never ? (
              <span className="warning">An agent has no verified backup yet</span>
            ) : (
              <>
                Oldest last backup <Time at={oldest} />
              </>
            )}
          </span>
        </>
      )}
    </Tile>
  );
}

function endpointOf(agents: readonly Agent[]): string {
  return agents.map((agent) => agent.observability?.telemetry?.endpoint ?? "").find(Boolean) ?? "";
}
