import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { cancelRuns } from "../api/endpoints";
import { explain } from "../api/errors";
import type { BulkResult, ListedRun } from "../api/types";
import { uuid } from "../api/uuid";
import { Button } from "../components/Button";
import { oneLine } from "../components/cutText";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { Icon } from "../components/Icon";
import { WriteButton } from "../components/WriteButton";

interface BulkCancelDialogProps {
  runs: readonly ListedRun[];
  onClose: () => void;
  onDone: () => void;
}

/** Asks before it cancels, then tells for each run how it went. */
export function BulkCancelDialog({ runs, onClose, onDone }: BulkCancelDialogProps) {
  const [reason, setReason] = useState("");
  const [requestId] = useState(uuid);
  const open = runs.filter((run) => run.state !== "ended");
  const ended = runs.length - open.length;
  const cancel = useMutation({
    mutationFn: () => cancelRuns({ run_ids: open.map((run) => run.run_id), reason, request_id: requestId }),
  });
  if (cancel.data) return <Results runs={open} results={cancel.data} onClose={onDone} />;
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Cancel ${count(open.length)}?`}
      description={
        <>
          A cancelled run ends as it is and cannot be taken up again; its journal and its drafts stay.
          {ended > 0
            ? ` ${count(ended)} of the selection ended before and ${ended === 1 ? "stays" : "stay"} as is.`
            : ""}
        </>
      }
    >
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          cancel.mutate();
        }}
      >
        <Field label="Reason, for the journal (may be left out)">
          {(id) => (
            <input id={id} value={reason} maxLength={1024} onChange={(event) => setReason(event.target.value)} />
          )}
        </Field>
        {cancel.error ? (
          <p className="form-error" role="alert">
            <strong>{explain(cancel.error).title}</strong> {explain(cancel.error).advice}
          </p>
        ) : null}
        <div className="dialog-actions">
          <Button onClick={onClose}>Keep them</Button>
          <WriteButton submit variant="danger" busy={cancel.isPending} disabled={open.length === 0}>
            {`Cancel ${count(open.length)}`}
          </WriteButton>
        </div>
      </form>
    </Dialog>
  );
}

interface ResultsProps {
  runs: readonly ListedRun[];
  results: readonly BulkResult[];
  onClose: () => void;
}

function Results({ runs, results, onClose }: ResultsProps) {
  const failed = results.filter((result) => !result.ok).length;
  const prompts = new Map(runs.map((run) => [run.run_id, run.prompt]));
  return (
    <Dialog
      open
      onClose={onClose}
      title={
        failed ? `${count(failed)} of ${results.length} could not be cancelled` : `${count(results.length)} cancelled`
      }
    >
      <ul className="results">
        {results.map((result) => (
          <li key={result.run_id} className={result.ok ? "tone-ok" : "tone-bad"}>
            <Icon name={result.ok ? "check" : "cross"} />
            <span>
              <span className="visually-hidden">{result.ok ? "Cancelled: " : "Failed: "}</span>
              {oneLine(prompts.get(result.run_id) ?? result.run_id, 80)}
              {result.ok ? null : <span className="result-error">{result.error}</span>}
            </span>
          </li>
        ))}
      </ul>
      <div className="dialog-actions">
        <Button variant="primary" onClick={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}

function count(number: number): string {
  return number === 1 ? "1 run" : `${number} runs`;
}
