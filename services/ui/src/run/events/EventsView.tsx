import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { formatCount, formatDuration, formatTime } from "../../clock/format";
import { oneLine } from "../../components/cutText";
import { EmptyState } from "../../components/EmptyState";
import { Icon } from "../../components/Icon";
import { Loading } from "../../components/Loading";
import { millis, type RunEvent } from "../model/wire";
import { useModel, useRunView } from "../runContext";
import type { RunSearch } from "../search";
import { EventJson } from "./EventJson";

const ROW_HEIGHT = 36;
const PREVIEW = 160;

/** The journal of the run as it is, newest last. */
export function EventsView() {
  const { complete } = useRunView();
  const model = useModel();
  const { type } = useSearch({ from: "/runs/$runId" });
  const navigate = useNavigate({ from: "/runs/$runId/events" });
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const all = model.log.events;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the journal grows in place; its version tells
  const types = useMemo(() => countTypes(all), [all, model.version]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const shown = useMemo(
    () => (type ? all.filter((event) => event.type === type) : [...all]),
    [all, model.version, type],
  );
  if (all.length === 0) {
    return complete ? <EmptyState icon="runs" title="There are no events yet" /> : <Loading what="the journal" />;
  }
  const choose = (next: string) =>
    void navigate({ search: (before: RunSearch) => ({ ...before, type: next || undefined }), replace: true });
  const turn = (sequence: number) =>
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(sequence)) next.add(sequence);
      return next;
    });
  return (
    <section className="card events" aria-label="Events">
      <div className="card-head">
        <h2>Events</h2>
        <span className="card-note">
          {formatCount(shown.length)} of {formatCount(all.length)}
        </span>
        <div className="card-aside">
          <label className="events-filter">
            <Icon name="filter" size={14} />
            <span className="visually-hidden">Only events of the type</span>
            <select className="input" value={type ?? ""} onChange={(event) => choose(event.target.value)}>
              <option value="">All types</option>
              {[...types].map(([name, count]) => (
                <option key={name} value={name}>
                  {name} ({count})
                </option>
              ))}
            </select>
          </label>
        </div>
      </div>
      <EventList events={shown} open={open} onTurn={turn} start={model.timeline.start} />
    </section>
  );
}

interface EventListProps {
  events: readonly RunEvent[];
  open: ReadonlySet<number>;
  onTurn: (sequence: number) => void;
  start: number;
}

function EventList({ events, open, onTurn, start }: EventListProps) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: events.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 10,
    getItemKey: (place) => events[place]?.sequence ?? place,
  });
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reached by the keyboard
    <section ref={box} className="events-box" tabIndex={0} aria-label="List of events">
      <ol className="events-list" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const event = events[item.index];
          if (!event) return null;
          const shown = open.has(event.sequence);
          return (
            <li
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              className="event"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <button type="button" className="event-line" aria-expanded={shown} onClick={() => onTurn(event.sequence)}>
                <Icon name="chevron" size={12} className={shown ? "event-turned" : ""} />
                <span className="event-sequence faint">{event.sequence}</span>
                <span className="event-time soft" title={formatTime(event.time)}>
                  {formatDuration(millis(event.time, start) - start)}
                </span>
                <strong className="event-type">{event.type}</strong>
                <span className="event-step soft">{event.step}</span>
                <span className="event-preview faint">{preview(event)}</span>
              </button>
              {shown ? <EventJson event={event} /> : null}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function countTypes(events: readonly RunEvent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { type } of events) counts.set(type, (counts.get(type) ?? 0) + 1);
  return new Map([...counts].sort(([one], [other]) => one.localeCompare(other)));
}

/** The first fields in one line; texts are cut before anything is made of them. */
function preview({ data }: RunEvent): string {
  const parts = Object.entries(data)
    .slice(0, 6)
    .map(([key, value]) => `${key}: ${short(value)}`);
  return oneLine(parts.join(" · "), PREVIEW);
}

function short(value: unknown): string {
  if (typeof value === "string") return value.slice(0, 60);
  if (Array.isArray(value)) return `[${value.length}]`;
  return typeof value === "object" && value !== null ? "{…}" : String(value);
}
