import { useId } from "react";
import type { PendingInput } from "../../api/types";
import { Countdown } from "../../components/Countdown";
import { Icon } from "../../components/Icon";
import { PendingForm } from "../../pending/PendingForm";
import { useRunView } from "../runContext";

/** What the run of the page waits for, above everything else about it. */
export function PendingPanel({ pending }: { pending: PendingInput }) {
  const { run, runId } = useRunView();
  const title = useId();
  return (
    <section className="run-pending" aria-labelledby={title}>
      <div className="run-pending-head">
        <Icon name={pending.approval ? "key" : "question"} size={18} />
        <h2 id={title}>{titleOf(pending)}</h2>
        {pending.expire_time && run.state !== "paused" ? (
          <span className="run-pending-left small">
            <Icon name="clock" size={13} /> <Countdown until={pending.expire_time} /> left to answer
          </span>
        ) : null}
      </div>
      <PendingForm runId={runId} pending={pending} />
    </section>
  );
}

function titleOf({ approval, question }: PendingInput): string {
  if (approval) return "Your approval is needed";
  return question ? "The run asks a question" : "The run waits";
}
