import { useQuery } from "@tanstack/react-query";
import { getRun } from "../api/endpoints";
import { explain } from "../api/errors";
import { keys } from "../api/keys";
import { dismissals } from "../pending/dismissals";
import { NewRunDialog } from "./NewRunDialog";
import type { WorkflowChoice } from "./useWorkflows";

interface NewRunProps {
  open: boolean;
  /** The run that the new one is to be like. */
  like: string | undefined;
  onClose: () => void;
  workflows: readonly WorkflowChoice[];
}

/** The form for a new run: empty, or filled in as an earlier run was, which then needs nobody's attention any more. */
export function NewRun({ open, like, onClose, workflows }: NewRunProps) {
  const earlier = useQuery({
    queryKey: keys.run(like ?? ""),
    queryFn: ({ signal }) => getRun(like ?? "", signal),
    enabled: like !== undefined,
  });
  if (like === undefined) return <NewRunDialog open={open} onClose={onClose} workflows={workflows} />;
  if (earlier.isPending) return null;
  const found = earlier.data?.run;
  const choice = workflows.find(({ agents }) => agents.includes(earlier.data?.agent ?? ""));
  return (
    <NewRunDialog
      key={like}
      open={open}
      onClose={onClose}
      workflows={workflows}
      initial={found && { workflow: choice?.workflow ?? found.workflow, prompt: found.prompt }}
      problem={found ? undefined : `The earlier run cannot be read. ${explain(earlier.error).advice}`}
      onStarted={() => found && dismissals.add(found.run_id)}
    />
  );
}
