import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { type ModeChange, setMode, setModeOfAll } from "../api/endpoints";
import { explain } from "../api/errors";
import { keys } from "../api/keys";
import type { Agent, ModeResult } from "../api/types";
import { uuid } from "../api/uuid";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { toasts } from "../components/toastStore";
import { WriteButton } from "../components/WriteButton";

const CHOICES: { name: string; label: string; note: string; change: Omit<ModeChange, "request_id"> }[] = [
  { name: "shipping", label: "Shipping", note: "spans only", change: { mode: "shipping" } },
  { name: "5", label: "Debug for 5 minutes", note: "", change: { mode: "debug", duration_seconds: 300 } },
  { name: "10", label: "Debug for 10 minutes", note: "", change: { mode: "debug", duration_seconds: 600 } },
  { name: "30", label: "Debug for 30 minutes", note: "", change: { mode: "debug", duration_seconds: 1800 } },
];

interface ModeDialogProps {
  agents: readonly Agent[];
  /** The agent that was asked for; empty for all. */
  scope: string;
  onClose: () => void;
}

export function ModeDialog({ agents, scope, onClose }: ModeDialogProps) {
  const [agent, setAgent] = useState(scope);
  const [choice, setChoice] = useState("10");
  const request = useRef({ what: "", id: "" });
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: async (body: ModeChange): Promise<ModeResult[]> =>
      agent ? [{ agent, ok: true, error: "", observability: await setMode(agent, body) }] : await setModeOfAll(body),
    onSuccess: (results) => {
      void queries.invalidateQueries({ queryKey: keys.agents });
      const failed = results.filter((result) => !result.ok);
      if (failed.length === 0) {
        toasts.show("ok", "The observability mode was switched.");
        onClose();
      }
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const picked = CHOICES.find((one) => one.name === choice);
    if (!picked || change.isPending) return;
    const what = `${agent} ${choice}`;
    if (request.current.what !== what) request.current = { what, id: uuid() };
    change.mutate({ ...picked.change, request_id: request.current.id });
  };
  return (
    <Dialog
      open
      onClose={onClose}
      title="Observability mode"
      description="Debug adds metrics and logs to what is exported, and ends by itself. No process is restarted."
    >
      <form className="stack" onSubmit={submit}>
        <Field label="Agents">
          {(id) => (
            <select id={id} value={agent} onChange={(event) => setAgent(event.target.value)}>
              <option value="">All agents</option>
              {agents.map((one) => (
                <option key={one.agent} value={one.agent}>
                  {one.agent}
                </option>
              ))}
            </select>
          )}
        </Field>
        <fieldset className="radios">
          <legend className="field-label">Mode</legend>
          {CHOICES.map((one) => (
            <label key={one.name} className="radio">
              <input
                type="radio"
                name="mode"
                value={one.name}
                checked={choice === one.name}
                onChange={() => setChoice(one.name)}
              />
              {one.label}
              {one.note ? <span className="faint">{one.note}</span> : null}
            </label>
          ))}
        </fieldset>
        <Failure error={change.error} results={change.data ?? []} />
        <div className="dialog-actions">
          <Button onClick={onClose}>Leave as it is</Button>
          <WriteButton submit variant="primary" busy={change.isPending}>
            Switch
          </WriteButton>
        </div>
      </form>
    </Dialog>
  );
}

function Failure({ error, results }: { error: unknown; results: readonly ModeResult[] }) {
  const failed = results.filter((result) => !result.ok);
  if (!error && failed.length === 0) return null;
  return (
    <div className="form-error" role="alert">
      {error ? (
        <p>
          <strong>{explain(error).title}</strong> {explain(error).advice}
        </p>
      ) : null}
      {failed.map((result) => (
        <p key={result.agent}>
          <strong>{result.agent}</strong>: {result.error}
        </p>
      ))}
    </div>
  );
}
