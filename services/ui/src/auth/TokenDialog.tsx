import { type FormEvent, useState } from "react";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field } from "../components/Field";
import { tokenStore } from "./tokenStore";
import { useToken } from "./useWriteAccess";

/** Asks for the bearer token, at the person's wish or after a refusal. */
export function TokenDialog() {
  const { token, asking } = useToken();
  const [value, setValue] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    tokenStore.set(value);
    setValue("");
  };
  return (
    <Dialog
      open={asking !== null}
      onClose={() => tokenStore.close()}
      title="Token"
      description={
        <>
          {asking} It is kept in this tab only and ends with it. <code>milepost up</code> prints it; in a cluster it is
          in the Secret of the gateway.
        </>
      }
    >
      <form onSubmit={submit} className="stack">
        <Field label="Token">
          {(id) => (
            <input
              id={id}
              type="password"
              autoComplete="off"
              spellCheck={false}
              value={value}
              onChange={(event) => setValue(event.target.value)}
            />
          )}
        </Field>
        <div className="dialog-actions">
          {token ? <Button onClick={() => tokenStore.forget()}>Forget the present token</Button> : null}
          <Button submit variant="primary" disabled={!value.trim()}>
            Use token
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
