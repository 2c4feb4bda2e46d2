import { useState } from "react";
import { formatDuration } from "../../clock/format";
import { Button } from "../../components/Button";
import { cutText } from "../../components/cutText";
import { Icon } from "../../components/Icon";
import { useModel } from "../runContext";
import { KIND_WORDS, statusLook } from "./looks";

const PAGE = 200;

/** The same spans as the waterfall, as a table. */
export function TimelineTable({ onOpen }: { onOpen: (span: string) => void }) {
  const { timeline } = useModel();
  const [shown, setShown] = useState(PAGE);
  const spans = [...timeline.spans.values()];
  return (
    <div className="table-scroll">
      <table className="table timeline-table">
        <caption className="visually-hidden">Spans of this run, in order</caption>
        <thead>
          <tr>
            <th scope="col">Since begin</th>
            <th scope="col">Process</th>
            <th scope="col">Step</th>
            <th scope="col">What</th>
            <th scope="col">Status</th>
            <th scope="col" className="number">
              Duration
            </th>
            <th scope="col">Detail</th>
          </tr>
        </thead>
        <tbody>
          {spans.slice(0, shown).map((span) => {
            const look = statusLook(span.kind, span.status);
            return (
              <tr key={span.id}>
                <td className="nowrap">{formatDuration(span.start - timeline.start)}</td>
                <td>{span.life + 1}</td>
                <td>{span.step ? `${span.step} (hop ${span.hop})` : "–"}</td>
                <th scope="row">
                  <button type="button" className="link-button" onClick={() => onOpen(span.id)}>
                    {KIND_WORDS[span.kind]}: {cutText(span.title, 60)}
                  </button>
                </th>
                <td className={`nowrap tone-${look.tone}`}>
                  {look.word ? (
                    <>
                      <Icon name={look.icon} size={12} /> {look.word}
                    </>
                  ) : (
                    "–"
                  )}
                </td>
                <td className="number">
                  {span.end === null || span.end === span.start ? "–" : formatDuration(span.end - span.start)}
                </td>
                <td className="timeline-table-detail">{cutText(span.detail, 160)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {spans.length > shown ? (
        <p className="timeline-more">
          <Button onClick={() => setShown((count) => count + PAGE)}>
            Show {Math.min(PAGE, spans.length - shown)} more of {spans.length}
          </Button>
        </p>
      ) : null}
    </div>
  );
}
