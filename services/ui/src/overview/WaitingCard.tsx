import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { ListedRun } from "../api/types";
import { uuid } from "../api/uuid";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Countdown } from "../components/Countdown";
import { oneLine } from "../components/cutText";
import { ErrorState } from "../components/ErrorState";
import { RunBadge } from "../components/RunBadge";
import { Time } from "../components/Time";
import { toasts } from "../components/toastStore";
import { WriteButton } from "../components/WriteButton";
import { dismissals } from "../pending/dismissals";
import { PendingForm } from "../pending/PendingForm";
import { useNeedsAttention, usePaused, useWaiting } from "../pending/useWaiting";
import { StartAgain } from "../runs/StartAgain";
import { useRunAction } from "../runs/useRunAction";

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
              {run.pending_input ? <PendingForm runId={run.run_id} pending={run.pending_input} /> : null}
            </Item>
          ))}
          {paused.runs.slice(0, SHOWN).map((run) => (
            <Item key={run.run_id} run={run} aside={<Resume runId={run.run_id} />} />
          ))}
          {attention.runs.slice(0, SHOWN).map((run) => (
            <Item key={run.run_id} run={run} aside={<Attention runId={run.run_id} />} />
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

/** It has ended and is not tried again by itself: a person starts it anew, or takes note of it. */
function Attention({ runId }: { runId: string }) {
  const dismiss = () => {
    dismissals.add(runId);
    toasts.show("ok", "Dismissed in this browser.", "The run stays among the runs that need attention.");
  };
  return (
    <span className="button-row">
      <StartAgain runId={runId} small />
      <Button className="button-small" icon="check" onClick={dismiss}>
        Dismiss
      </Button>
    </span>
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
