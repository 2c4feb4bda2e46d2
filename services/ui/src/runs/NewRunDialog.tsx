import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, type KeyboardEvent, useId, useRef, useState } from "react";
import { type NewRun, startRun } from "../api/endpoints";
import { explain } from "../api/errors";
import { announce } from "../app/announcer";
import { formatCount } from "../clock/format";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { Kbd } from "../components/Kbd";
import { WriteButton } from "../components/WriteButton";
import { newRun } from "./newRun";
import { MAX_PROMPT_BYTES, promptBytes, promptProblem } from "./promptBytes";
import type { WorkflowChoice } from "./useWorkflows";

interface NewRunDialogProps {
  open: boolean;
  onClose: () => void;
  workflows: readonly WorkflowChoice[];
  /** What the form begins with. */
  initial?: { workflow: string; prompt: string } | undefined;
  /** Why it does not begin with what was asked for. */
  problem?: string | undefined;
  onStarted?: (() => void) | undefined;
}

/** What was typed stays when the dialog is closed by mistake. */
export function NewRunDialog({ open, onClose, workflows, initial, problem, onStarted }: NewRunDialogProps) {
  const [chosen, setChosen] = useState<string>();
  const [prompt, setPrompt] = useState(initial?.prompt ?? "");
  const request = useRef<NewRun | null>(null);
  const navigate = useNavigate();
  const start = useMutation({
    mutationFn: startRun,
    onSuccess: ({ run }) => {
      setPrompt("");
      request.current = null;
      announce("The run was accepted.");
      onStarted?.();
      void navigate({ to: "/runs/$runId", params: { runId: run.run_id } });
    },
  });
  const wanted = chosen ?? initial?.workflow;
  const known = workflows.some((choice) => choice.workflow === wanted);
  const workflow =
    (known && wanted) || workflows.find((choice) => choice.reachable)?.workflow || workflows[0]?.workflow || "";
  const unfit = promptProblem(prompt);
  const send = () => {
    if (unfit || start.isPending || !workflow) return;
    request.current = newRun(request.current, workflow, prompt);
    start.mutate(request.current);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };
  return (
    <Dialog open={open} onClose={onClose} title="New run" wide>
      <form onSubmit={submit} className="stack">
        {problem ? (
          <p className="form-error" role="alert">
            {problem}
          </p>
        ) : null}
        <WorkflowField workflow={workflow} workflows={workflows} onChange={setChosen} />
        <PromptField prompt={prompt} onChange={setPrompt} onSend={send} />
        {start.error ? <Refusal error={start.error} /> : null}
        <div className="dialog-actions">
          <span className="faint small dialog-hint">
            <Kbd keys="Ctrl Enter" /> starts it
          </span>
          <WriteButton submit variant="primary" busy={start.isPending} disabled={Boolean(unfit) || !workflow}>
            Start run
          </WriteButton>
        </div>
      </form>
    </Dialog>
  );
}

function Refusal({ error }: { error: unknown }) {
  const { title, advice } = explain(error);
  return (
    <p className="form-error" role="alert">
      <strong>{title}</strong> {advice} Starting it again is safe: it stays one run.
    </p>
  );
}

interface WorkflowFieldProps {
  workflow: string;
  workflows: readonly WorkflowChoice[];
  onChange: (workflow: string) => void;
}

function WorkflowField({ workflow, workflows, onChange }: WorkflowFieldProps) {
  if (workflows.length === 0) {
    return <p className="form-error">No agent is known yet, so there is no workflow to run.</p>;
  }
  return (
    <Field label="Workflow">
      {(id) => (
        <select id={id} value={workflow} onChange={(event) => onChange(event.target.value)}>
          {workflows.map((choice) => (
            <option key={choice.workflow} value={choice.workflow}>
              {choice.workflow}
              {choice.reachable ? "" : " (its agent does not answer)"}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface PromptFieldProps {
  prompt: string;
  onChange: (prompt: string) => void;
  onSend: () => void;
}

function PromptField({ prompt, onChange, onSend }: PromptFieldProps) {
  const counter = useId();
  const bytes = promptBytes(prompt);
  const over = bytes > MAX_PROMPT_BYTES;
  const keys = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    onSend();
  };
  return (
    <div className="field">
      <Field label="Prompt">
        {(id) => (
          <textarea
            id={id}
            value={prompt}
            rows={8}
            data-autofocus
            aria-describedby={counter}
            aria-invalid={over}
            onChange={(event) => onChange(event.target.value)}
            onKeyDown={keys}
          />
        )}
      </Field>
      <span id={counter} className={`small counter ${over ? "counter-over" : "faint"}`}>
        {formatCount(bytes)} of {formatCount(MAX_PROMPT_BYTES)} bytes
        {over ? `: ${formatCount(bytes - MAX_PROMPT_BYTES)} too many` : ""}
      </span>
    </div>
  );
}
