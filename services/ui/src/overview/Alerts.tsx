import type { Agent } from "../api/types";
import { Icon } from "../components/Icon";

/** What is wrong with the files of runs, loudly: nothing else on this page is as urgent. */
export function Alerts({ agents }: { agents: readonly Agent[] }) {
  const failing = agents.filter((agent) => agent.status?.store?.failure);
  return failing.map((agent) => (
    <div key={agent.agent} className="alert tone-bad" role="alert">
      <Icon name="alert" size={20} />
      <div>
        <p className="alert-title">{agent.agent} cannot write to its file of runs.</p>
        <p>
          The reason: {agent.status?.store?.failure}. What was acknowledged is kept; runs stand still and go on by
          themselves when the disk takes writes again.
        </p>
      </div>
    </div>
  ));
}
