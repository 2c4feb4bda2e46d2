import { Fragment, lazy, Suspense, useState } from "react";
import type { Service } from "../api/types";
import { formatBytes } from "../clock/format";
import { Badge } from "../components/Badge";
import { Card } from "../components/Card";
import { oneLine } from "../components/cutText";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Icon } from "../components/Icon";
import { Loading } from "../components/Loading";
import { Sparkline } from "../components/Sparkline";
import { serviceLook } from "../components/status";
import { serviceKey, type UsageSample } from "./usageHistory";
import { useServices, useUsageHistory } from "./useServices";

const ServiceCharts = lazy(() => import("./ServiceCharts"));

/** Every service that an agent knows, with what it does and uses. */
export function ServicesCard() {
  const services = useServices();
  const history = useUsageHistory();
  const [open, setOpen] = useState<string | null>(null);
  return (
    <Card title="Services" note={services.data ? noteOf(services.data) : undefined} flush>
      {services.isPending ? <Loading what="services" /> : null}
      {services.error && !services.data ? (
        <ErrorState error={services.error} retry={() => void services.refetch()} />
      ) : null}
      {services.data?.length === 0 ? (
        <EmptyState icon="server" title="No service is known.">
          <p>Services register with an agent when they start. Look whether their processes or pods run.</p>
        </EmptyState>
      ) : null}
      {services.data && services.data.length > 0 ? (
        <div className="table-scroll">
          <table className="table services-table">
            <caption className="visually-hidden">Services, their state, and what they use</caption>
            <thead>
              <tr>
                <th scope="col">Service</th>
                <th scope="col">State</th>
                <th scope="col">Capabilities</th>
                <th scope="col">CPU</th>
                <th scope="col">Memory</th>
                <th scope="col" className="number">
                  Tokens/s
                </th>
                <th scope="col" className="number">
                  Active, queued
                </th>
                <th scope="col">Known to</th>
                <th scope="col">
                  <span className="visually-hidden">More</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {services.data.map((service) => {
                const key = serviceKey(service);
                const samples = history.get(key) ?? [];
                return (
                  <Fragment key={key}>
                    <ServiceRow
                      service={service}
                      samples={samples}
                      open={open === key}
                      onToggle={() => setOpen(open === key ? null : key)}
                    />
                    {open === key ? (
                      <tr className="service-details">
                        <td colSpan={9}>
                          <Suspense fallback={<Loading what="the charts" />}>
                            <ServiceCharts service={service} samples={samples} />
                          </Suspense>
                        </td>
                      </tr>
                    ) : null}
                  </Fragment>
                );
              })}
            </tbody>
          </table>
        </div>
      ) : null}
    </Card>
  );
}

interface ServiceRowProps {
  service: Service;
  samples: readonly UsageSample[];
  open: boolean;
  onToggle: () => void;
}

function ServiceRow({ service, samples, open, onToggle }: ServiceRowProps) {
  const { tone, icon, word } = serviceLook(service.state);
  const usage = service.usage;
  return (
    <tr className={service.state === "gone" ? "row-gone" : undefined}>
      <th scope="row">
        {service.name}
        {service.namespace || service.description ? (
          <span className="row-note" title={service.description}>
            {service.namespace ? `${service.namespace} · ` : ""}
            {oneLine(service.description)}
          </span>
        ) : null}
      </th>
      <td>
        <Badge tone={tone} icon={icon}>
          {word}
        </Badge>
      </td>
      <td>
        <ul className="tags">
          {service.capabilities.map((capability) => (
            <li key={capability} className="tag">
              {capability}
            </li>
          ))}
        </ul>
      </td>
      <td>
        <Figure
          values={samples.map((sample) => sample.cpu_cores)}
          limit={usage?.cpu_limit_cores ?? 0}
          shown={usage ? usage.cpu_cores.toFixed(2) : ""}
          limitShown={usage?.cpu_limit_cores ? `of ${usage.cpu_limit_cores} cores` : "cores"}
          what={`CPU of ${service.name}`}
        />
      </td>
      <td>
        <Figure
          values={samples.map((sample) => sample.memory_bytes)}
          limit={usage?.memory_limit_bytes ?? 0}
          shown={usage ? formatBytes(usage.memory_bytes) : ""}
          limitShown={usage?.memory_limit_bytes ? `of ${formatBytes(usage.memory_limit_bytes)}` : ""}
          what={`Memory of ${service.name}`}
        />
      </td>
      <td className="number">{usage && usage.tokens_per_second > 0 ? usage.tokens_per_second.toFixed(1) : <None />}</td>
      <td className="number">{usage ? `${usage.active_calls}, ${usage.queued_calls}` : <None />}</td>
      <td className="soft" title={service.agents.join(", ")}>
        {service.agents.length === 1 ? service.agents[0] : `${service.agents.length} agents`}
      </td>
      <td>
        <button
          type="button"
          className="icon-button disclosure"
          aria-expanded={open}
          aria-label={`More about ${service.name}`}
          onClick={onToggle}
        >
          <Icon name="chevron" />
        </button>
      </td>
    </tr>
  );
}

interface FigureProps {
  values: readonly number[];
  limit: number;
  shown: string;
  limitShown: string;
  what: string;
}

function Figure({ values, limit, shown, limitShown, what }: FigureProps) {
  if (!shown) return <None />;
  return (
    <div className="figure">
      <Sparkline values={values} limit={limit} label={`${what}: ${shown} ${limitShown}`} width={64} />
      <span className="figure-words">
        <span className="figure-value">{shown}</span>
        {limitShown ? <span className="faint small">{limitShown}</span> : null}
      </span>
    </div>
  );
}

function None() {
  return <span className="faint">–</span>;
}

function noteOf(services: readonly Service[]): string {
  const ready = services.filter((service) => service.state === "ready").length;
  return services.length ? `${ready} of ${services.length} ready` : "";
}
