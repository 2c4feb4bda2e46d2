import { type FormEvent, type KeyboardEvent, useState } from "react";
import type { Question } from "../api/types";
import { LongText } from "../components/LongText";
import { WriteButton } from "../components/WriteButton";
import { useRunAction } from "./useRunAction";

/** The question of a run, answered in place: by one of its options or in words. */
export function QuestionForm({ runId, question }: { runId: string; question: Question }) {
  const [answer, setAnswer] = useState("");
  const action = useRunAction(runId);
  const send = (text: string) => action.mutate({ action: "answer", question_id: question.question_id, answer: text });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (answer.trim()) send(answer);
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return (
    <form className="pending-form" onSubmit={submit}>
      <LongText text={question.text} />
      {question.options.length > 0 ? (
        <fieldset className="button-row">
          <legend className="visually-hidden">Answers to choose from</legend>
          {question.options.map((option) => (
            <WriteButton key={option} disabled={action.isPending} onClick={() => send(option)}>
              {option}
            </WriteButton>
          ))}
        </fieldset>
      ) : null}
      <div className="pending-answer">
        <label className="pending-grow">
          <span className="visually-hidden">Answer in your own words</span>
          <textarea
            className="input"
            rows={1}
            placeholder={question.options.length > 0 ? "Or in your own words" : "Answer"}
            value={answer}
            onChange={(event) => setAnswer(event.target.value)}
            onKeyDown={keys}
          />
        </label>
        <WriteButton submit variant="primary" busy={action.isPending} disabled={!answer.trim()}>
          Answer
        </WriteButton>
      </div>
    </form>
  );
}
