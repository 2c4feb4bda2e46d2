import { Link } from "@tanstack/react-router";
import { Icon } from "../components/Icon";

/** Leads to the form for a new run, filled in as this one was. */
export function StartAgain({ runId, small = false }: { runId: string; small?: boolean }) {
  return (
    <Link
      to="/runs"
      search={{ new: "1", like: runId }}
      className={`button button-plain ${small ? "button-small" : ""}`}
      title="A new run with the same workflow and prompt, which may be changed before"
    >
      <Icon name="restore" size={14} />
      <span>Start again…</span>
    </Link>
  );
}
