import { explain } from "../api/errors";
import { Button } from "./Button";
import { Icon } from "./Icon";

/** What happened and what to do; `retry` reads it anew. */
export function ErrorState({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const { title, advice } = explain(error);
  return (
    <div className="error-state" role="alert">
      <Icon name="alert" size={18} />
      <div>
        <p className="error-title">{title}</p>
        <p className="soft">{advice}</p>
        {retry ? <Button onClick={retry}>Try again</Button> : null}
      </div>
    </div>
  );
}
