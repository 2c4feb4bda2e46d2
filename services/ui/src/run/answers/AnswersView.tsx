import { useMemo, useState } from "react";
import { formatCount, formatDuration } from "../../clock/format";
import { Badge } from "../../components/Badge";
import { CopyButton } from "../../components/CopyButton";
import { cutText } from "../../components/cutText";
import { EmptyState } from "../../components/EmptyState";
import { Loading } from "../../components/Loading";
import { LongText } from "../../components/LongText";
import type { Draft } from "../model/drafts";
import { differences } from "../model/textDiff";
import { useModel, useRunView } from "../runContext";
import { CitationList, ToolCallList } from "./Evidence";

/** The result, and the answer of each step with what changed from one review cycle to the next. */
export function AnswersView() {
  const { run, complete } = useRunView();
  const { drafts } = useModel();
  const result = drafts.result || run.result;
  if (drafts.all.length === 0 && !result) {
    return complete ? (
      <EmptyState icon="messages" title="There is no answer yet">
        <p>Each step's answer appears here as soon as it is committed.</p>
      </EmptyState>
    ) : (
      <Loading what="the answers" />
    );
  }
  return (
    <div className="answers">
      {result ? (
        <section className="card" aria-labelledby="result">
          <div className="card-head">
            <h2 id="result">{run.state === "ended" ? "Result" : "Best draft so far"}</h2>
            <div className="card-aside">
              <CopyButton text={result} label="the result" />
            </div>
          </div>
          <div className="card-body">
            <LongText text={result} />
          </div>
        </section>
      ) : null}
      <h2 className="answers-head">Steps</h2>
      <ol className="draft-list">
        {drafts.all.map((draft) => (
          <li key={draft.id}>
            <DraftCard draft={draft} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function DraftCard({ draft }: { draft: Draft }) {
  const comparable = draft.before !== null && !draft.verdict && draft.before.text !== draft.text;
  const [compared, setCompared] = useState(comparable);
  const { before } = draft;
  return (
    <article className="card" aria-label={`${draft.step}, hop ${draft.hop}`}>
      <header className="card-head draft-head">
        <h3>{draft.step}</h3>
        <span className="soft small">
          {[
            draft.role,
            draft.service && `by ${draft.service}`,
            draft.cycle > 0 ? `cycle ${draft.cycle}` : "",
            `hop ${draft.hop}`,
          ]
            .filter(Boolean)
            .join(" · ")}
        </span>
        {draft.verdict ? (
          <Badge
            tone={draft.verdict === "approve" ? "ok" : "wait"}
            icon={draft.verdict === "approve" ? "check" : "restore"}
          >
            {cutText(draft.verdict, 40)}
          </Badge>
        ) : null}
        <div className="card-aside">
          {comparable ? (
            <div className="segmented">
              <button type="button" aria-pressed={!compared} onClick={() => setCompared(false)}>
                Text
              </button>
              <button type="button" aria-pressed={compared} onClick={() => setCompared(true)}>
                Changes
              </button>
            </div>
          ) : null}
          <CopyButton text={draft.text} label={`the answer of ${draft.step}`} />
        </div>
      </header>
      <div className="card-body">
        {before && !draft.verdict && before.text === draft.text ? (
          <p className="soft small">The same text as in {nameOf(before)}.</p>
        ) : null}
        {compared && before ? (
          <Changes before={before} after={draft} />
        ) : (
          <LongText text={draft.text || "(no text)"} limit={3000} />
        )}
        <Footer draft={draft} />
      </div>
    </article>
  );
}

function Changes({ before, after }: { before: Draft; after: Draft }) {
  const parts = useMemo(() => differences(before.text, after.text), [before.text, after.text]);
  if (!parts) {
    return (
      <>
        <p className="soft small">Too much changed to be shown word by word.</p>
        <LongText text={after.text} limit={3000} />
      </>
    );
  }
  return (
    <>
      <p className="soft small">Changes since {nameOf(before)}:</p>
      <pre className="diff">
        {parts.map((part, place) => {
          const text = part.kind === "same" ? shortened(part.text) : cutText(part.text, 20_000);
          const key = place;
          if (part.kind === "added") return <ins key={key}>{text}</ins>;
          if (part.kind === "removed") return <del key={key}>{text}</del>;
          return <span key={key}>{text}</span>;
        })}
      </pre>
    </>
  );
}

const SAME_SHOWN = 4000;

function shortened(text: string): string {
  if (text.length <= SAME_SHOWN) return text;
  return `${cutText(text, SAME_SHOWN / 2)}\n… ${formatCount(text.length - SAME_SHOWN)} characters that are the same …\n${text.slice(-SAME_SHOWN / 2)}`;
}

function Footer({ draft }: { draft: Draft }) {
  const facts = [
    draft.durationMs === null ? "" : formatDuration(draft.durationMs),
    draft.completionTokens === null ? "" : `${formatCount(draft.completionTokens)} tokens`,
    draft.replayed ? "answered by an earlier attempt" : "",
  ].filter(Boolean);
  return (
    <div className="draft-foot">
      {facts.length > 0 ? <p className="faint small">{facts.join(" · ")}</p> : null}
      {draft.citations.length > 0 ? (
        <details>
          <summary>Citations ({draft.citations.length})</summary>
          <CitationList citations={draft.citations} />
        </details>
      ) : null}
      {draft.toolCalls.length > 0 ? (
        <details>
          <summary>Tool calls ({draft.toolCalls.length})</summary>
          <ToolCallList calls={draft.toolCalls} />
        </details>
      ) : null}
    </div>
  );
}

function nameOf(draft: Draft): string {
  return draft.cycle > 0 ? `cycle ${draft.cycle}` : `hop ${draft.hop}`;
}
