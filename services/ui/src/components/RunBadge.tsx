import type { Run } from "../api/types";
import { Badge } from "./Badge";
import { runLook } from "./status";

export function RunBadge({ run }: { run: Pick<Run, "state" | "outcome" | "reason"> }) {
  const { tone, icon, word } = runLook(run);
  return (
    <Badge tone={tone} icon={icon} {...(run.reason ? { title: run.reason } : {})}>
      {word}
    </Badge>
  );
}
