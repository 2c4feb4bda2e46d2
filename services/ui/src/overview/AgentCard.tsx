import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Agent, AgentStatus, StoreStatus, TelemetryStatus } from "../api/types";
import { formatBytes, formatCount, formatDuration } from "../clock/format";
import { Badge } from "../components/Badge";
import { CopyButton } from "../components/CopyButton";
import { Countdown } from "../components/Countdown";
import { Time } from "../components/Time";
import { WriteButton } from "../components/WriteButton";
import { modeLook, modeMeaning } from "./modeLook";

/** One agent: whether it answers, what it drives, how its file and its telemetry are doing. */
export function AgentCard({ agent, onMode }: { agent: Agent; onMode: () => void }) {
  const { status } = agent;
  return (
    <article className={`card agent ${agent.reachable ? "" : "agent-away"}`} aria-label={`Agent ${agent.agent}`}>
      <header className="agent-head">
        <div>
          <h3>{agent.agent}</h3>
          <p className="faint small">{kindOf(agent)}</p>
        </div>
        {agent.reachable ? (
          <Badge tone="ok" icon="check">
            Reachable
          </Badge>
        ) : (
          <Badge tone="bad" icon="cross">
            Does not answer
          </Badge>
        )}
      </header>
      {agent.reachable ? null : (
        <p className="agent-error">
          {sentence(agent.error || "It does not answer.")}{" "}
          {status ? "What is below is how it was last seen; its" : "Its"} runs go on when it is back.
        </p>
      )}
      {agent.observability ? <Mode agent={agent} onMode={onMode} /> : null}
      {status ? (
        <>
          <Runs status={status} />
          {status.store ? <Durability store={status.store} /> : null}
          <Telemetry telemetry={agent.observability?.telemetry ?? status.telemetry} />
          <Details agent={agent} status={status} />
        </>
      ) : null}
    </article>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="agent-row">
      <h4>{name}</h4>
      <div className="agent-facts">{children}</div>
    </div>
  );
}

function Mode({ agent, onMode }: { agent: Agent; onMode: () => void }) {
  const mode = agent.observability;
  const { tone, icon, word } = modeLook(mode?.mode ?? "");
  return (
    <Row name="Mode">
      <span title={modeMeaning(mode?.mode ?? "", mode?.telemetry?.endpoint)}>
        <Badge tone={tone} icon={icon}>
          {word}
        </Badge>
      </span>
      {mode?.until ? (
        <span>
          <Countdown until={mode.until} /> left
        </span>
      ) : null}
      {mode?.cause ? <span className="faint">{mode.cause}</span> : null}
      <WriteButton className="button-small agent-switch" disabled={!agent.reachable} onClick={onMode}>
        Switch…
      </WriteButton>
    </Row>
  );
}

function Runs({ status }: { status: AgentStatus }) {
  const counts = [
    ["running", status.running],
    ["waiting", status.waiting],
    ["paused", status.paused],
    ["ended", status.ended],
  ] as const;
  return (
    <Row name="Runs">
      {counts.map(([state, count]) => (
        <Link key={state} to="/runs" search={{ state, workflow: status.workflow }} className="run-count">
          <strong>{formatCount(count)}</strong> {state}
        </Link>
      ))}
    </Row>
  );
}

function Durability({ store }: { store: StoreStatus }) {
  return (
    <Row name="Durability">
      <Value value={formatBytes(store.size_bytes)} unit="file" />
      <Value value={formatDuration(store.commit_ms)} unit="commit" />
      <Value value={formatDuration(store.commit_p95_ms)} unit="p95" />
      <span>
        {store.last_backup_time ? (
          <>
            backup <Time at={store.last_backup_time} />
          </>
        ) : (
          <span className="warning">no verified backup yet</span>
        )}
      </span>
    </Row>
  );
}

function Telemetry({ telemetry }: { telemetry: TelemetryStatus | null }) {
  if (!telemetry?.endpoint) {
    return (
      <Row name="Telemetry">
        <span className="faint">nothing is exported: no endpoint is set</span>
      </Row>
    );
  }
  return (
    <Row name="Telemetry">
      <Value value={formatCount(telemetry.exported_spans)} unit="spans" />
      <span className={telemetry.dropped > 0 ? "warning" : undefined}>
        <strong>{formatCount(telemetry.dropped)}</strong> dropped
      </span>
      <Value value={formatCount(telemetry.lag_events)} unit="to go" />
      {telemetry.failure ? <span className="warning agent-wide">{telemetry.failure}</span> : null}
    </Row>
  );
}

function Value({ value, unit }: { value: string; unit: string }) {
  return (
    <span>
      <strong>{value}</strong> {unit}
    </span>
  );
}

function Details({ agent, status }: { agent: Agent; status: AgentStatus }) {
  const { store, telemetry } = status;
  const facts: [string, ReactNode][] = [
    [
      "Process",
      <>
        epoch {status.epoch}, started <Time key="start" at={status.start_time} />
      </>,
    ],
    ["Address", agent.target],
    ["Journal", `event ${formatCount(status.last_sequence)}`],
    ["Write-ahead log", store ? formatBytes(store.wal_bytes) : "–"],
    ["fsync of the disk", store && store.fsync_ms > 0 ? formatDuration(store.fsync_ms) : "–"],
    ["Commits", store ? `${formatCount(store.commits)} with ${formatCount(store.writes)} writes` : "–"],
    ["Telemetry goes to", telemetry?.endpoint || "–"],
  ];
  return (
    <details className="agent-details">
      <summary>Details</summary>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        <div>
          <dt>Digest of the workflow</dt>
          <dd className="mono">
            {status.workflow_digest.slice(0, 12)}
            <CopyButton text={status.workflow_digest} label="the digest" />
          </dd>
        </div>
      </dl>
    </details>
  );
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function kindOf({ workflow, agent, namespace, status }: Agent): string {
  const parts = [workflow === agent ? "" : workflow, namespace, status?.pattern ?? ""];
  if (status) parts.push(`up to ${status.max_hops} hops`);
  if (status && status.max_cycles > 0) parts.push(`${status.max_cycles} review cycles`);
  return parts.filter(Boolean).join(" · ");
}
