import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { restoreBackup } from "../api/endpoints";
import { explain } from "../api/errors";
import type { Backup } from "../api/types";
import { formatCount, formatTime } from "../clock/format";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { Time } from "../components/Time";
import { toasts } from "../components/toastStore";
import { WriteButton } from "../components/WriteButton";

interface RestoreDialogProps {
  agent: string;
  backup: Backup;
  onClose: () => void;
}

/** Says what a restore does, and does it only when the agent's name was typed. */
export function RestoreDialog({ agent, backup, onClose }: RestoreDialogProps) {
  const [typed, setTyped] = useState("");
  const queries = useQueryClient();
  const restore = useMutation({
    mutationFn: () => restoreBackup(agent, backup.backup_id),
    onSuccess: () => {
      toasts.show("ok", `${agent} goes on from the backup.`, `Backup ${backup.backup_id}.`);
      void queries.invalidateQueries();
      onClose();
    },
  });
  const confirmed = typed.trim() === agent;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (confirmed && !restore.isPending) restore.mutate();
  };
  return (
    <Dialog open onClose={onClose} title={`Restore ${agent} from a backup?`} wide>
      <div className="stack">
        <ul className="consequences">
          <li>
            The agent goes back to <strong>{formatTime(backup.create_time)}</strong> (<Time at={backup.create_time} />
            ), with {formatCount(backup.runs)} runs.
          </li>
          <li>
            Runs that were started since then are no longer there. Steps that were done since then are done again.
          </li>
          <li>The backup is verified first. If it does not verify, nothing is changed.</li>
          <li>The present file is set aside, never deleted; the agent is not ready until it has opened the other.</li>
        </ul>
        <form className="stack" onSubmit={submit}>
          <Field
            label={
              <>
                Type <strong>{agent}</strong> to confirm
              </>
            }
          >
            {(id) => (
              <input
                id={id}
                value={typed}
                autoComplete="off"
                spellCheck={false}
                onChange={(event) => setTyped(event.target.value)}
              />
            )}
          </Field>
          {restore.error ? (
            <p className="form-error" role="alert">
              <strong>{explain(restore.error).title}</strong> {explain(restore.error).advice} Look at the epoch of the
              agent before you try again: it goes up by more than one when the restore was done.
            </p>
          ) : null}
          <div className="dialog-actions">
            <Button onClick={onClose}>Keep things as they are</Button>
            <WriteButton submit variant="danger" busy={restore.isPending} disabled={!confirmed}>
              Restore
            </WriteButton>
          </div>
        </form>
      </div>
    </Dialog>
  );
}
