import type { ScoredService } from "../model/decisions";
import { percentText } from "./percentText";

const MOST = 5;

/** Confidence of each service and the probability that none fits, as one strip and in words. */
export function ConfidenceStrip({ services, none }: { services: readonly ScoredService[]; none: number }) {
  const shown = services.slice(0, MOST);
  const rest = services.slice(MOST).reduce((sum, service) => sum + service.confidence, 0);
  const total = Math.max(
    services.reduce((sum, service) => sum + service.confidence, none),
    1e-9,
  );
  const width = (value: number) => `${(value / total) * 100}%`;
  return (
    <div>
      <div className="strip" aria-hidden="true">
        {shown.map((service, place) => (
          <span
            key={service.service}
            className={`strip-part strip-${place}`}
            style={{ width: width(service.confidence) }}
          />
        ))}
        {rest > 0 ? <span className="strip-part strip-rest" style={{ width: width(rest) }} /> : null}
        {none > 0 ? <span className="strip-part strip-none" style={{ width: width(none) }} /> : null}
      </div>
      <ul className="strip-legend">
        {shown.map((service, place) => (
          <li key={service.service}>
            <span className={`legend-swatch strip-${place}`} aria-hidden="true" />
            <span className={place === 0 ? "strip-best" : ""}>{service.service}</span>
            <span className="faint">{service.capability}</span>
            <span className="strip-share">{percentText(service.confidence)}</span>
          </li>
        ))}
        {services.length === 0 ? <li className="soft">No service was ready.</li> : null}
        {rest > 0 ? (
          <li>
            <span className="legend-swatch strip-rest" aria-hidden="true" />
            <span>{services.length - MOST} more</span>
            <span className="strip-share">{percentText(rest)}</span>
          </li>
        ) : null}
        <li>
          <span className="legend-swatch strip-none" aria-hidden="true" />
          <span className="soft">none fits</span>
          <span className="strip-share">{percentText(none)}</span>
        </li>
      </ul>
    </div>
  );
}
