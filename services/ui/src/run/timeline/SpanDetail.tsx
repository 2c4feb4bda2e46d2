import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import { listRunMessages } from "../../api/endpoints";
import { keys } from "../../api/keys";
import { formatCount, formatDuration, formatTime } from "../../clock/format";
import { Badge } from "../../components/Badge";
import { cutText } from "../../components/cutText";
import { Icon } from "../../components/Icon";
import { LongText } from "../../components/LongText";
import { CitationList, ToolCallList } from "../answers/Evidence";
import { EventJson } from "../events/EventJson";
import type { Draft } from "../model/drafts";
import { startCause } from "../model/marks";
import { extentOf, type Row, statusOf } from "../model/rows";
import type { HopPart, Life, Span } from "../model/spans";
import { useModel, useRunView } from "../runContext";
import { KIND_WORDS, STATUS_LOOKS, statusLook } from "./looks";
import { pendingText } from "./WaterfallRow";

/** What is known of one line of the timeline. */
export function SpanDetail({ row, onClose }: { row: Row; onClose: () => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEscape(onClose);
  return (
    <aside className="detail" aria-label="Detail">
      <div className="detail-head">
        <h2 ref={heading}>{titleOf(row)}</h2>
        <button
          type="button"
          className="icon-button"
          aria-label="Close the detail"
          title="Close (Esc)"
          onClick={onClose}
        >
          <Icon name="cross" />
        </button>
      </div>
      <Body row={row} />
    </aside>
  );
}

function Body({ row }: { row: Row }) {
  switch (row.kind) {
    case "life":
      return <LifeDetail life={row.life} />;
    case "hop":
      return <HopDetail part={row.part} />;
    case "pending":
      return <p className="soft">{pendingText(row.pending)} It is written down when it is over.</p>;
    case "span":
      return <OneSpan span={row.span} />;
  }
}

function OneSpan({ span }: { span: Span }) {
  const model = useModel();
  const draft = model.drafts.all.find((each) => span.events.some((event) => each.id === `draft-${event.sequence}`));
  const wide = span.kind === "attempt";
  return (
    <div className="detail-body">
      <Times span={span} />
      {span.detail && !draft ? (
        <Part title={span.status === "failed" || span.status === "retried" ? "Error" : "Detail"}>
          <LongText text={span.detail} limit={2000} />
        </Part>
      ) : null}
      {wide ? <Received span={span} /> : null}
      {draft ? <Output draft={draft} /> : null}
      <Part title="Raw events" folded>
        {span.events.map((event) => (
          <EventJson key={event.sequence} event={event} />
        ))}
      </Part>
    </div>
  );
}

function Times({ span }: { span: Span }) {
  const { timeline } = useModel();
  const look = statusLook(span.kind, span.status);
  const queue = span.segments.find((part) => part.kind === "queue");
  const work = span.segments.find((part) => part.kind === "work");
  return (
    <dl className="detail-facts">
      {look.word ? (
        <Fact label="Status">
          <Badge tone={look.tone} icon={look.icon}>
            {look.word}
          </Badge>
        </Fact>
      ) : null}
      <Fact label="Begun">
        <span title={formatTime(new Date(span.start).toISOString())}>
          {formatDuration(span.start - timeline.start)} after the begin
        </span>
      </Fact>
      {span.end !== null && span.end > span.start ? (
        <Fact label={span.status === "lost" ? "At most" : "Took"}>{formatDuration(span.end - span.start)}</Fact>
      ) : null}
      {queue ? <Fact label="In the queue">{formatDuration(queue.end - queue.start)}</Fact> : null}
      {work ? <Fact label="At work">{formatDuration(work.end - work.start)}</Fact> : null}
      {span.joined ? <Fact label="Note">The service had gone on with it while no agent was there.</Fact> : null}
      {span.step ? (
        <Fact label="Step">
          {span.step}, hop {span.hop}
        </Fact>
      ) : null}
    </dl>
  );
}

/** What the step was given: the prompt, and the messages that it received. */
function Received({ span }: { span: Span }) {
  const { runId, run } = useRunView();
  const model = useModel();
  const stored = useQuery({
    queryKey: keys.runMessages(runId),
    queryFn: ({ signal }) => listRunMessages(runId, signal),
  });
  const ids = new Set(
    model.log.events
      .filter((event) => event.type === "MessageDelivered" && event.step === span.step && event.hop_index === span.hop)
      .map((event) => String(event.data.message_id)),
  );
  const received = model.messages.view(stored.data).filter((message) => ids.has(message.id));
  return (
    <Part title="Input" folded>
      <p className="detail-label">Prompt</p>
      <LongText text={run.prompt} limit={800} />
      {received.map((message) => (
        <div key={message.id}>
          <p className="detail-label">Message of {message.sender}</p>
          <LongText text={message.payload ?? ""} limit={800} />
        </div>
      ))}
    </Part>
  );
}

function Output({ draft }: { draft: Draft }) {
  return (
    <>
      <Part title="Output">
        {draft.verdict ? <p className="detail-label">Verdict: {cutText(draft.verdict, 60)}</p> : null}
        {draft.text ? <LongText text={draft.text} limit={2000} /> : <p className="soft">It answered with no text.</p>}
      </Part>
      {draft.citations.length > 0 ? (
        <Part title={`Citations (${draft.citations.length})`} folded>
          <CitationList citations={draft.citations} />
        </Part>
      ) : null}
      {draft.toolCalls.length > 0 ? (
        <Part title={`Tool calls (${draft.toolCalls.length})`} folded>
          <ToolCallList calls={draft.toolCalls} />
        </Part>
      ) : null}
      {draft.promptTokens !== null || draft.completionTokens !== null ? (
        <dl className="detail-facts">
          <Fact label="Tokens read">{formatCount(draft.promptTokens ?? 0)}</Fact>
          <Fact label="Tokens written">{formatCount(draft.completionTokens ?? 0)}</Fact>
        </dl>
      ) : null}
    </>
  );
}

function LifeDetail({ life }: { life: Life }) {
  const { timeline } = useModel();
  return (
    <div className="detail-body">
      <dl className="detail-facts">
        <Fact label="Begun">{formatDuration(life.start - timeline.start)} after the begin</Fact>
        {life.cause ? <Fact label={life.resumed ? "Resumed" : "Why"}>{startCause(life.cause)}</Fact> : null}
        {life.starts > 1 ? <Fact label="Starts">{life.starts}, the last of which stayed</Fact> : null}
        {life.end !== null ? (
          <Fact label="Last sign">{formatDuration(life.end - timeline.start)} after the begin</Fact>
        ) : null}
        {life.lost > 0 ? <Fact label="Cut off">{life.lost} unfinished, done again by the next process</Fact> : null}
      </dl>
      {life.event ? (
        <Part title="Raw events" folded>
          <EventJson event={life.event} />
        </Part>
      ) : null}
    </div>
  );
}

function HopDetail({ part }: { part: HopPart }) {
  const model = useModel();
  const { start, end } = extentOf(part);
  const look = STATUS_LOOKS[statusOf(part)];
  const draft = model.drafts.all.findLast((each) => each.step === part.step && each.hop === part.hop);
  const pair = model.decisions.pairs.findLast((each) => each.step === part.step && each.hop === part.hop);
  return (
    <div className="detail-body">
      <dl className="detail-facts">
        <Fact label="Status">
          <Badge tone={look.tone} icon={look.icon}>
            {look.word || "done"}
          </Badge>
        </Fact>
        {end !== null ? <Fact label="Took">{formatDuration(end - start)}</Fact> : null}
        {part.cycle > 0 ? <Fact label="Review cycle">{part.cycle}</Fact> : null}
        {pair?.decision ? <Fact label="Decision">{cutText(pair.decision.reason, 300)}</Fact> : null}
      </dl>
      <Part title="Parts">
        <ul className="detail-parts">
          {part.spans.slice(0, 50).map((span) => (
            <li key={span.id}>
              <span>
                {KIND_WORDS[span.kind]} · {cutText(span.title, 40)}
              </span>
              <span className="soft">{span.end === null ? "going on" : formatDuration(span.end - span.start)}</span>
            </li>
          ))}
        </ul>
      </Part>
      {draft ? <Output draft={draft} /> : null}
    </div>
  );
}

function Part({ title, folded, children }: { title: string; folded?: boolean; children: ReactNode }) {
  if (folded) {
    return (
      <details className="detail-part">
        <summary>{title}</summary>
        {children}
      </details>
    );
  }
  return (
    <section className="detail-part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function titleOf(row: Row): string {
  if (row.kind === "life") return `Process ${row.life.index + 1}`;
  if (row.kind === "hop") return `Hop ${row.part.hop}: ${row.part.step}`;
  if (row.kind === "pending") return "Going on";
  return `${KIND_WORDS[row.span.kind]}: ${cutText(row.span.title, 60)}`;
}

function useEscape(action: () => void): void {
  const newest = useRef(action);
  useEffect(() => {
    newest.current = action;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("[role=dialog]"))
        newest.current();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}
