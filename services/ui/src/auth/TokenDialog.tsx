import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { explain } from "../api/errors";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { toasts } from "../components/toastStore";
import { checkToken } from "./checkToken";
import { tokenStore } from "./tokenStore";
import { useToken } from "./useWriteAccess";

/** Asks for the bearer token, at the person's wish or after a refusal. */
export function TokenDialog() {
  const { token, asking } = useToken();
  return (
    <Dialog
      open={asking !== null}
      onClose={() => tokenStore.close()}
      title="Token"
      description={
        <>
          {asking} A token is kept in this tab only and ends with it. <code>milepost ui</code> prints it; in a cluster
          it is in the Secret of the gateway.
        </>
      }
    >
      <TokenForm canForget={token !== null} />
    </Dialog>
  );
}

/** Only a token that the gateway takes is put in the place of the one before. */
function TokenForm({ canForget }: { canForget: boolean }) {
  const [value, setValue] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const problemId = useId();
  const check = useMutation({
    mutationFn: checkToken,
    onSuccess: (accepted, token) => {
      if (!accepted) return;
      tokenStore.set(token);
      toasts.show("ok", "The token was accepted.", "You may change things now.");
    },
  });
  const problem = problemOf(check.data, check.error);
  useEffect(() => {
    if (problem) field.current?.select();
  }, [problem]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (value.trim() && !check.isPending) check.mutate(value.trim());
  };
  return (
    <form onSubmit={submit} className="stack">
      <Field label="Token">
        {(id) => (
          <input
            id={id}
            ref={field}
            type="password"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={problem !== ""}
            aria-describedby={problem ? problemId : undefined}
            value={value}
            onChange={(event) => setValue(event.target.value)}
          />
        )}
      </Field>
      {problem ? (
        <p id={problemId} className="form-error" role="alert">
          {problem}
        </p>
      ) : null}
      <div className="dialog-actions">
        {canForget ? <Button onClick={() => tokenStore.forget()}>Forget the present token</Button> : null}
        <Button submit variant="primary" busy={check.isPending} disabled={!value.trim()}>
          Use token
        </Button>
      </div>
    </form>
  );
}

/** Why the token is not used, for a person; empty when nothing is against it. */
function problemOf(accepted: boolean | undefined, error: unknown): string {
  if (accepted === false) return "The gateway does not know this token. Check that all of it was copied.";
  if (!error) return "";
  const { title, advice } = explain(error);
  return `The token could not be checked. ${title} ${advice}`;
}
