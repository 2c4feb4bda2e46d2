import { type FormEvent, type KeyboardEvent, useState } from "react";
import type { RunAction } from "../api/endpoints";
import type { Approval, PendingInput, Question } from "../api/types";
import { Button } from "../components/Button";
import { ErrorState } from "../components/ErrorState";
import { Icon } from "../components/Icon";
import { LongText } from "../components/LongText";
import { WriteButton } from "../components/WriteButton";
import { useAnswer } from "./useAnswer";
import "./pending.css";

const MOST_OPTIONS = 8;

/** What a run waits for, answered in place: a step is approved or rejected, a question is answered. */
export function PendingForm({ runId, pending }: { runId: string; pending: PendingInput }) {
  const { approval, question } = pending;
  const answer = useAnswer(runId, approval?.approval_id ?? question?.question_id ?? "");
  if (!approval && !question) return <p className="soft">It waits for something that this page does not know.</p>;
  return (
    <div className="pending">
      <LongText text={question?.text || approval?.text || `The step ${approval?.step} wants to run.`} limit={1200} />
      {answer.settled ? (
        <p className="pending-settled" role="status">
          <Icon name="check" size={14} /> {answer.settled}
        </p>
      ) : question ? (
        <QuestionFields question={question} send={answer.send} busy={answer.busy} />
      ) : approval ? (
        <ApprovalFields approval={approval} send={answer.send} busy={answer.busy} />
      ) : null}
      {answer.error ? <ErrorState error={answer.error} /> : null}
    </div>
  );
}

interface FieldsProps {
  send: (action: RunAction, done: string) => void;
  busy: boolean;
}

function ApprovalFields({ approval, send, busy }: FieldsProps & { approval: Approval }) {
  const [comment, setComment] = useState("");
  const decide = (approve: boolean) =>
    send(
      { action: "approval", approval_id: approval.approval_id, approve, ...(comment ? { comment } : {}) },
      approve ? "You approved. The run goes on." : "You rejected it. The run is told.",
    );
  return (
    <div className="pending-fields">
      <label className="field pending-grow">
        <span className="field-label">Comment (optional)</span>
        <input value={comment} maxLength={4096} onChange={(event) => setComment(event.target.value)} />
      </label>
      <div className="button-row">
        <WriteButton variant="primary" icon="check" busy={busy} onClick={() => decide(true)}>
          Approve
        </WriteButton>
        <WriteButton icon="cross" busy={busy} onClick={() => decide(false)}>
          Reject
        </WriteButton>
      </div>
    </div>
  );
}

/** An offered answer goes into the field first: it may be changed there, and cannot be taken back once it is sent. */
function QuestionFields({ question, send, busy }: FieldsProps & { question: Question }) {
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim() || busy) return;
    send({ action: "answer", question_id: question.question_id, answer: text }, "You answered. The run goes on.");
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return (
    <form className="pending-fields" onSubmit={submit}>
      <label className="field pending-grow">
        <span className="field-label">Answer</span>
        <textarea
          rows={2}
          value={text}
          maxLength={65_536}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={keys}
        />
      </label>
      <div className="button-row">
        <WriteButton variant="primary" icon="arrow" submit busy={busy} disabled={!text.trim()}>
          Answer
        </WriteButton>
        {question.options.slice(0, MOST_OPTIONS).map((option) => (
          <Button key={option} onClick={() => setText(option)}>
            {option}
          </Button>
        ))}
      </div>
    </form>
  );
}
