import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { ListedRun } from "../api/types";
import { uuid } from "../api/uuid";
import { Card } from "../components/Card";
import { Countdown } from "../components/Countdown";
import { oneLine } from "../components/cutText";
import { ErrorState } from "../components/ErrorState";
import { RunBadge } from "../components/RunBadge";
import { Time } from "../components/Time";
import { WriteButton } from "../components/WriteButton";
import { ApprovalForm } from "../pending/ApprovalForm";
import { QuestionForm } from "../pending/QuestionForm";
import { useRunAction } from "../pending/useRunAction";
import { useNeedsAttention, usePaused, useWaiting } from "../pending/useWaiting";
import "../pending/pending.css";

const SHOWN = 5;

/** Everything that goes no further without a person, answered in place where that can be done. */
export function WaitingCard() {
  const waiting = useWaiting();
  const paused = usePaused();
  const attention = useNeedsAttention();
  const all = [waiting, paused, attention];
  const count = all.reduce((sum, one) => sum + one.runs.length, 0);
  const failed = all.find((one) => one.error && !one.known);
  const { unreachable } = waiting;
  const nothing = count === 0 && unreachable.length === 0 && all.every((one) => one.known);
  return (
    <Card title="Waits for a person" note={nothing ? "Nothing does" : undefined} flush={count > 0}>
      {failed ? <ErrorState error={failed.error} /> : null}
      {nothing ? <p className="soft">Questions, approvals and runs that need a look appear here.</p> : null}
      {count > 0 ? (
        <ul className="waiting-list">
          {waiting.runs.slice(0, SHOWN).map((run) => (
            <Item key={run.run_id} run={run}>
              <Pending run={run} />
            </Item>
          ))}
          {paused.runs.slice(0, SHOWN).map((run) => (
            <Item key={run.run_id} run={run} aside={<Resume runId={run.run_id} />} />
          ))}
          {attention.runs.slice(0, SHOWN).map((run) => (
            <Item key={run.run_id} run={run} />
          ))}
        </ul>
      ) : null}
      {unreachable.length > 0 ? (
        <p className="waiting-away">
          Not asked, because {unreachable.length === 1 ? "it does" : "they do"} not answer: {unreachable.join(", ")}.
        </p>
      ) : null}
      <More waiting={waiting.runs.length} attention={attention.runs.length} paused={paused.runs.length} />
    </Card>
  );
}

interface ItemProps {
  run: ListedRun;
  aside?: ReactNode;
  children?: ReactNode;
}

function Item({ run, aside, children }: ItemProps) {
  return (
    <li className="waiting-item">
      <div className="waiting-head">
        <RunBadge run={run} />
        <Link to="/runs/$runId" params={{ runId: run.run_id }} className="waiting-prompt">
          {oneLine(run.prompt, 120)}
          {run.reason ? <span className="row-note">{oneLine(run.reason, 160)}</span> : null}
        </Link>
        <span className="faint small nowrap">
          {run.workflow} · <Time at={run.update_time} />
          {run.pending_input?.expire_time ? (
            <>
              {" "}
              · ends in <Countdown until={run.pending_input.expire_time} />
            </>
          ) : null}
        </span>
        {aside}
      </div>
      {children}
    </li>
  );
}

function Pending({ run }: { run: ListedRun }) {
  const { question, approval } = run.pending_input ?? { question: null, approval: null };
  if (question) return <QuestionForm key={question.question_id} runId={run.run_id} question={question} />;
  if (approval) return <ApprovalForm key={approval.approval_id} runId={run.run_id} approval={approval} />;
  return <p className="soft">Open the run to see what it waits for.</p>;
}

function Resume({ runId }: { runId: string }) {
  const [requestId] = useState(uuid);
  const action = useRunAction(runId);
  return (
    <WriteButton
      icon="play"
      className="button-small"
      busy={action.isPending}
      onClick={() => action.mutate({ action: "resume", request_id: requestId })}
    >
      Let it go on
    </WriteButton>
  );
}

function More({ waiting, attention, paused }: { waiting: number; attention: number; paused: number }) {
  if (waiting <= SHOWN && attention <= SHOWN && paused <= SHOWN) return null;
  return (
    <p className="waiting-more">
      {waiting > SHOWN ? (
        <Link to="/runs" search={{ state: "waiting" }}>
          All {waiting} that wait
        </Link>
      ) : null}
      {attention > SHOWN ? (
        <Link to="/runs" search={{ outcome: "NeedsAttention" }}>
          All {attention} that need attention
        </Link>
      ) : null}
      {paused > SHOWN ? (
        <Link to="/runs" search={{ state: "paused" }}>
          All {paused} paused
        </Link>
      ) : null}
    </p>
  );
}
