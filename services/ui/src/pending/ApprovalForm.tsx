import { useState } from "react";
import type { Approval } from "../api/types";
import { LongText } from "../components/LongText";
import { WriteButton } from "../components/WriteButton";
import { useRunAction } from "./useRunAction";

/** The step that waits for an approval, decided in place; a comment may be given with it. */
export function ApprovalForm({ runId, approval }: { runId: string; approval: Approval }) {
  const [comment, setComment] = useState("");
  const action = useRunAction(runId);
  const decide = (approve: boolean) =>
    action.mutate({ action: "approval", approval_id: approval.approval_id, approve, comment });
  return (
    <div className="pending-form">
      <LongText text={approval.text || `The step ${approval.step} wants to run.`} />
      <div className="pending-answer">
        <label className="pending-grow">
          <span className="visually-hidden">Comment</span>
          <input
            className="input"
            placeholder="Comment (may be left out)"
            maxLength={4096}
            value={comment}
            onChange={(event) => setComment(event.target.value)}
          />
        </label>
        <WriteButton disabled={action.isPending} onClick={() => decide(false)}>
          Reject
        </WriteButton>
        <WriteButton variant="primary" icon="check" busy={action.isPending} onClick={() => decide(true)}>
          Approve
        </WriteButton>
      </div>
    </div>
  );
}
