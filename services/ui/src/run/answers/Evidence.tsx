import { LongText } from "../../components/LongText";
import type { Citation, ToolCall } from "../model/drafts";

export function CitationList({ citations }: { citations: readonly Citation[] }) {
  return (
    <ol className="evidence">
      {citations.map((citation, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: citations have no id and do not change
        <li key={place}>
          <p className="evidence-head">
            <strong>{citation.source || "unnamed source"}</strong>
            <span className="soft">{citation.location}</span>
            {citation.score === null ? null : <span className="faint">similarity {citation.score.toFixed(2)}</span>}
          </p>
          <LongText text={citation.quote} limit={600} />
        </li>
      ))}
    </ol>
  );
}

export function ToolCallList({ calls }: { calls: readonly ToolCall[] }) {
  return (
    <ol className="evidence">
      {calls.map((call, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: calls have no id and do not change
        <li key={place}>
          <p className="evidence-head">
            <strong>{call.name || "unnamed tool"}</strong>
            <code>{call.arguments.slice(0, 400)}</code>
          </p>
          {call.error ? (
            <p className="evidence-error">failed: {call.error}</p>
          ) : (
            <LongText text={call.result} limit={600} />
          )}
        </li>
      ))}
    </ol>
  );
}
