import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { exportRun } from "../../api/endpoints";
import { explain } from "../../api/errors";
import { uuid } from "../../api/uuid";
import { saveFile } from "../../backups/saveFile";
import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { ErrorState } from "../../components/ErrorState";
import { toasts } from "../../components/toastStore";
import { WriteButton } from "../../components/WriteButton";
import { StartAgain } from "../../runs/StartAgain";
import { useRunAction } from "../../runs/useRunAction";
import { useRunView } from "../runContext";
import { MessageDialog } from "./MessageDialog";

/** What a person may do to a run. Each may be sent again without harm. */
export function RunActions() {
  const { run, runId } = useRunView();
  const [dialog, setDialog] = useState<"cancel" | "message" | null>(null);
  const act = useRunAction(runId);
  const download = useMutation({
    mutationFn: async () => saveFile(await exportRun(runId), `milepost-run-${runId}.json`),
    onError: (error) => toasts.show("bad", "The run was not exported", explain(error).advice),
  });
  const live = run.state !== "ended";
  return (
    <div className="run-actions">
      {live && run.state === "paused" ? (
        <WriteButton
          icon="play"
          busy={act.isPending}
          onClick={() => act.mutate({ action: "resume", request_id: uuid() })}
        >
          Resume
        </WriteButton>
      ) : null}
      {live && run.state !== "paused" ? (
        <WriteButton
          icon="pause"
          busy={act.isPending}
          title="Lets the step that is being done come to its end, and goes no further"
          onClick={() => act.mutate({ action: "pause", request_id: uuid() })}
        >
          Pause
        </WriteButton>
      ) : null}
      {live ? null : <StartAgain runId={runId} />}
      {live ? (
        <>
          <WriteButton icon="messages" onClick={() => setDialog("message")}>
            Message
          </WriteButton>
          <WriteButton icon="stop" onClick={() => setDialog("cancel")}>
            Cancel
          </WriteButton>
        </>
      ) : null}
      <Button
        icon="download"
        busy={download.isPending}
        title="All of this run as one JSON file"
        onClick={() => download.mutate()}
      >
        Export
      </Button>
      {dialog === "cancel" ? <CancelDialog onClose={() => setDialog(null)} /> : null}
      {dialog === "message" ? <MessageDialog onClose={() => setDialog(null)} /> : null}
    </div>
  );
}

function CancelDialog({ onClose }: { onClose: () => void }) {
  const { runId } = useRunView();
  const [reason, setReason] = useState("");
  const [requestId] = useState(uuid);
  const act = useRunAction(runId, onClose);
  return (
    <Dialog
      open
      onClose={onClose}
      title="Cancel this run?"
      description="The call that it is in is stopped. The best draft so far is kept; it cannot be taken back."
    >
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          act.mutate({ action: "cancel", request_id: requestId, ...(reason ? { reason } : {}) });
        }}
      >
        <label className="field">
          <span className="field-label">Reason (optional)</span>
          <input value={reason} maxLength={1024} onChange={(event) => setReason(event.target.value)} />
        </label>
        {act.error ? <ErrorState error={act.error} /> : null}
        <div className="dialog-actions">
          <Button variant="quiet" onClick={onClose}>
            Keep it going
          </Button>
          <WriteButton variant="danger" icon="stop" submit busy={act.isPending}>
            Cancel the run
          </WriteButton>
        </div>
      </form>
    </Dialog>
  );
}
