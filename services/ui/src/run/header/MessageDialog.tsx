import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { sendMessage } from "../../api/endpoints";
import { keys } from "../../api/keys";
import { uuid } from "../../api/uuid";
import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { ErrorState } from "../../components/ErrorState";
import { toasts } from "../../components/toastStore";
import { WriteButton } from "../../components/WriteButton";
import { useModel, useRunView } from "../runContext";

/** Writes to a role; its next step reads it. */
export function MessageDialog({ onClose }: { onClose: () => void }) {
  const { runId } = useRunView();
  const roles = useRoles();
  const queries = useQueryClient();
  const [role, setRole] = useState(roles[0] ?? "");
  const [payload, setPayload] = useState("");
  const [messageId] = useState(uuid);
  const send = useMutation({
    mutationFn: () => sendMessage(runId, { recipient_role: role, payload, message_id: messageId }),
    onSuccess: () => {
      toasts.show("ok", `The next step of ${role} receives your message`);
      void queries.invalidateQueries({ queryKey: keys.runMessages(runId) });
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Message to a role"
      description="It is stored, and the role's next step reads it once."
    >
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (payload.trim()) send.mutate();
        }}
      >
        <label className="field">
          <span className="field-label">To</span>
          <select value={role} onChange={(event) => setRole(event.target.value)}>
            {roles.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span className="field-label">Text</span>
          <textarea value={payload} maxLength={65_536} onChange={(event) => setPayload(event.target.value)} />
        </label>
        {send.error ? <ErrorState error={send.error} /> : null}
        <div className="dialog-actions">
          <Button variant="quiet" onClick={onClose}>
            Close
          </Button>
          <WriteButton variant="primary" icon="arrow" submit busy={send.isPending} disabled={!payload.trim() || !role}>
            Send
          </WriteButton>
        </div>
      </form>
    </Dialog>
  );
}

/** Roles of the workflow; where it is not known, those that have answered so far. */
export function useRoles(): string[] {
  const { graph } = useRunView();
  const model = useModel();
  const known = graph?.steps.map((step) => step.role) ?? model.drafts.all.map((draft) => draft.role);
  return [...new Set(known)].filter(Boolean).sort();
}
