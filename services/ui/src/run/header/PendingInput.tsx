import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { actOnRun, type RunAction } from "../../api/endpoints";
import { ApiError } from "../../api/errors";
import { keys } from "../../api/keys";
import type { Approval, PendingInput as Pending, Question } from "../../api/types";
import { Button } from "../../components/Button";
import { Countdown } from "../../components/Countdown";
import { ErrorState } from "../../components/ErrorState";
import { Icon } from "../../components/Icon";
import { LongText } from "../../components/LongText";
import { WriteButton } from "../../components/WriteButton";
import { useRunView } from "../runContext";

/** What the run waits for, to be answered where one is. */
export function PendingInput({ pending }: { pending: Pending }) {
  const { run } = useRunView();
  const asked = pending.approval?.text ?? pending.question?.text ?? "";
  const title = useId();
  const answer = useAnswer(pending);
  return (
    <section className="pending" aria-labelledby={title}>
      <div className="pending-head">
        <Icon name={pending.approval ? "key" : "question"} size={18} />
        <h2 id={title}>{titleOf(pending)}</h2>
        {pending.expire_time && run.state !== "paused" ? (
          <span className="pending-left small">
            <Icon name="clock" size={13} /> <Countdown until={pending.expire_time} /> left to answer
          </span>
        ) : null}
      </div>
      <LongText text={asked} limit={1200} />
      {answer.settled ? (
        <p className="pending-settled" role="status">
          <Icon name="check" size={14} /> {answer.settled}
        </p>
      ) : pending.approval ? (
        <ApprovalForm approval={pending.approval} send={answer.send} busy={answer.busy} />
      ) : pending.question ? (
        <QuestionForm question={pending.question} send={answer.send} busy={answer.busy} />
      ) : null}
      {answer.error ? <ErrorState error={answer.error} /> : null}
    </section>
  );
}

function titleOf({ approval, question }: Pending): string {
  if (approval) return "Your approval is needed";
  return question ? "The run asks a question" : "The run waits for something that this page does not know";
}

interface FormProps {
  send: (action: RunAction, done: string) => void;
  busy: boolean;
}

function ApprovalForm({ approval, send, busy }: FormProps & { approval: Approval }) {
  const [comment, setComment] = useState("");
  const decide = (approve: boolean) =>
    send(
      { action: "approval", approval_id: approval.approval_id, approve, ...(comment ? { comment } : {}) },
      approve ? "You approved. The run goes on." : "You rejected it. The run is told.",
    );
  return (
    <div className="pending-form">
      <label className="field pending-field">
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

function QuestionForm({ question, send, busy }: FormProps & { question: Question }) {
  const [text, setText] = useState("");
  const give = (answer: string) =>
    send({ action: "answer", question_id: question.question_id, answer }, "You answered. The run goes on.");
  return (
    <form
      className="pending-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) give(text);
      }}
    >
      <label className="field pending-field">
        <span className="field-label">Answer</span>
        <textarea
          className="pending-answer"
          rows={2}
          value={text}
          maxLength={65_536}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
          }}
        />
      </label>
      <div className="button-row">
        <WriteButton variant="primary" icon="arrow" submit busy={busy} disabled={!text.trim()}>
          Answer
        </WriteButton>
        {question.options.slice(0, 8).map((option) => (
          <Button key={option} onClick={() => setText(option)}>
            {option}
          </Button>
        ))}
      </div>
    </form>
  );
}

interface Answering {
  send: (action: RunAction, done: string) => void;
  busy: boolean;
  /** What became of it, when nothing more is to be asked. */
  settled: string;
  error: unknown;
}

function useAnswer(pending: Pending): Answering {
  const { runId } = useRunView();
  const queries = useQueryClient();
  const id = pending.approval?.approval_id ?? pending.question?.question_id ?? "";
  const [settled, setSettled] = useState({ id: "", text: "" });
  const mutation = useMutation({
    mutationFn: ({ action }: { action: RunAction; done: string }) => actOnRun(runId, action),
    onSuccess: (_, { done }) => setSettled({ id, text: done }),
    onError: (error) => {
      if (isLate(error)) setSettled({ id, text: "Somebody else answered meanwhile; nothing is left to do here." });
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: keys.run(runId), exact: true }),
  });
  const { error } = mutation;
  return {
    send: (action, done) => mutation.mutate({ action, done }),
    busy: mutation.isPending,
    settled: settled.id === id ? settled.text : "",
    error: isLate(error) ? null : error,
  };
}

/** It had another answer before, or waits for it no more. */
function isLate(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}
