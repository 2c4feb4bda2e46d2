import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState, useSyncExternalStore } from "react";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { overlays } from "./overlayStore";

/** Goes to a run by its id, or to the runs that hold a text. */
export function CommandDialog() {
  const overlay = useSyncExternalStore(overlays.subscribe, overlays.get);
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const close = () => {
    overlays.show(null);
    setText("");
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const wanted = text.trim();
    close();
    if (!wanted) return;
    if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(wanted)) {
      void navigate({ to: "/runs/$runId", params: { runId: wanted } });
    } else void navigate({ to: "/runs", search: { q: wanted } });
  };
  return (
    <Dialog open={overlay === "command"} onClose={close} title="Go to">
      <form onSubmit={submit} className="stack">
        <Field label="Run id, correlation id or words of the prompt">
          {(id) => <input id={id} type="search" value={text} onChange={(event) => setText(event.target.value)} />}
        </Field>
        <div className="dialog-actions">
          <Button submit variant="primary" disabled={!text.trim()}>
            Go
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
