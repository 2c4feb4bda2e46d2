import { formatDuration } from "../../clock/format";
import { Badge, type Tone } from "../../components/Badge";
import { cutText } from "../../components/cutText";
import { EmptyState } from "../../components/EmptyState";
import type { IconName } from "../../components/Icon";
import { Loading } from "../../components/Loading";
import type { Decision, DecisionPair, Recommendation, Verdict } from "../model/decisions";
import { useModel, useRunView } from "../runContext";
import { ChoiceList } from "./ChoiceList";
import { ChoiceTable } from "./ChoiceTable";
import { ConfidenceStrip } from "./ConfidenceStrip";
import { percentText } from "./percentText";
import { wayOf } from "./wayOf";

const VERDICTS: Record<Verdict, { tone: Tone; icon: IconName; word: string }> = {
  agreed: { tone: "ok", icon: "check", word: "Agreed" },
  overruled: { tone: "wait", icon: "restore", word: "Overruled" },
  skipped: { tone: "idle", icon: "chevron", word: "Step skipped" },
  finished: { tone: "hold", icon: "stop", word: "Finished early" },
  asked: { tone: "wait", icon: "question", word: "Asked the user" },
};

/** What the router recommended next to what the arbitrator decided, and why. */
export function DecisionsView() {
  const { complete } = useRunView();
  const { pairs } = useModel().decisions;
  if (pairs.length === 0) {
    return complete ? (
      <EmptyState icon="filter" title="Nothing was decided yet">
        <p>Before each step the router ranks the services that are ready, and the arbitrator decides.</p>
      </EmptyState>
    ) : (
      <Loading what="the decisions" />
    );
  }
  const decided = pairs.filter((pair) => pair.decision);
  const overruled = decided.filter((pair) => pair.decision?.verdict === "overruled").length;
  return (
    <div className="decisions">
      {decided.length > 0 ? <p className="soft">{summary(decided.length, overruled)}</p> : null}
      <ol className="decision-list">
        {pairs.map((pair) => (
          <li key={pair.id}>
            <DecisionCard pair={pair} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function summary(decided: number, overruled: number): string {
  const all = decided === 1 ? "One decision" : `${decided} decisions`;
  if (overruled === 0) return `${all}; no recommendation was overruled.`;
  return `${all}; ${overruled === 1 ? "one recommendation was" : `${overruled} recommendations were`} overruled.`;
}

function DecisionCard({ pair }: { pair: DecisionPair }) {
  const look = pair.decision ? VERDICTS[pair.decision.verdict] : null;
  return (
    <article className="card decision" aria-label={`Hop ${pair.hop}, step ${pair.step}`}>
      <header className="decision-head">
        <h2>{pair.step || "Step"}</h2>
        <span className="soft small">hop {pair.hop}</span>
        {look ? (
          <Badge tone={look.tone} icon={look.icon}>
            {look.word}
          </Badge>
        ) : (
          <Badge tone="run" icon="play">
            Being decided
          </Badge>
        )}
      </header>
      <div className="decision-sides">
        <section>
          <h3>Router recommends</h3>
          {pair.recommendation ? <RecommendationSide recommendation={pair.recommendation} /> : <Unknown />}
        </section>
        <section>
          <h3>Arbitrator decides</h3>
          {pair.decision ? (
            <DecisionSide decision={pair.decision} recommended={pair.recommendation?.services[0]?.service} />
          ) : (
            <p className="soft">It has not decided yet.</p>
          )}
        </section>
      </div>
      <Numbers pair={pair} />
    </article>
  );
}

function Unknown() {
  return <p className="soft">The journal has no recommendation for this decision.</p>;
}

function RecommendationSide({ recommendation }: { recommendation: Recommendation }) {
  const { services, none, path, fallbackReason } = recommendation;
  return (
    <>
      <ConfidenceStrip services={services} none={none} />
      {path ? <p className="decision-path small soft">Ranked {wayOf(path)}.</p> : null}
      {fallbackReason ? <p className="small soft">It fell back: {cutText(fallbackReason, 400)}</p> : null}
    </>
  );
}

function DecisionSide({ decision, recommended }: { decision: Decision; recommended: string | undefined }) {
  const best = decision.choices[0];
  return (
    <>
      <p className="decision-what">
        {decision.action === "invoke" ? decision.service : decision.action || "unknown"}
        {decision.verdict === "overruled" && recommended ? (
          <span className="decision-share">instead of {recommended}</span>
        ) : null}
        {best ? <span className="decision-share">{percentText(best.posterior)}</span> : null}
      </p>
      <p className="soft">{cutText(decision.reason, 600)}</p>
      <ChoiceList choices={decision.choices} />
    </>
  );
}

function Numbers({ pair }: { pair: DecisionPair }) {
  const { recommendation, decision } = pair;
  return (
    <details className="decision-numbers">
      <summary>Numbers</summary>
      {decision && decision.choices.length > 0 ? <ChoiceTable choices={decision.choices} /> : null}
      <dl className="detail-facts decision-facts">
        {recommendation ? (
          <>
            <Item label="Router's reasoning" text={cutText(recommendation.reasoning, 1000)} />
            <Item label="Router's path" text={recommendation.path} />
            <Item label="Why it fell back" text={cutText(recommendation.fallbackReason, 1000)} />
            <Item label="Router's time" text={timeText(recommendation.durationMs)} />
            <Item
              label="Need for the capability"
              text={recommendation.relevance === null ? "" : percentText(recommendation.relevance)}
            />
          </>
        ) : null}
        {decision ? <Item label="Arbitrator's time" text={timeText(decision.durationMs)} /> : null}
      </dl>
    </details>
  );
}

function Item({ label, text }: { label: string; text: string }) {
  if (!text) return null;
  return (
    <div>
      <dt>{label}</dt>
      <dd>{text}</dd>
    </div>
  );
}

function timeText(milliseconds: number | null): string {
  return milliseconds === null ? "" : formatDuration(milliseconds);
}
