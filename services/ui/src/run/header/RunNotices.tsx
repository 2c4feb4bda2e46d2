import { explain } from "../../api/errors";
import { Icon } from "../../components/Icon";
import { useRunView } from "../runContext";

/** What keeps this page from being up to date; the run itself is not in danger. */
export function RunNotices({ runError, journalError }: { runError: unknown; journalError: unknown }) {
  const { reachable, agent, run } = useRunView();
  const ended = run.state === "ended";
  if (!reachable) {
    return (
      <div className="run-notice tone-wait" role="status">
        <Icon name="alert" size={16} />
        <p>
          <strong>The agent {agent} does not answer.</strong>{" "}
          {ended
            ? "The run has ended; what is shown stays as it is."
            : "Nothing that was committed is lost: the run goes on from its last step when the agent is back."}
        </p>
      </div>
    );
  }
  const error = journalError ?? runError;
  if (!error) return null;
  const { title, advice } = explain(error);
  return (
    <div className="run-notice tone-wait" role="status">
      <Icon name="alert" size={16} />
      <p>
        <strong>{title}</strong> {advice}
      </p>
    </div>
  );
}
