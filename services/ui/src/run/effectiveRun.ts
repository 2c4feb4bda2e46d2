import type { Run, RunEvent } from "../api/types";
import { applyEvent } from "../runs/applyEvent";
import type { RunModel } from "./model/runModel";

/**
 * The run as it was read, brought up to what the journal says since.
 *
 * The row of a run that was answered says "waiting" until its step is committed; the journal knows that it works.
 */
export function effectiveRun(run: Run, { log, timeline }: RunModel): Run {
  const { events } = log;
  let from = events.length;
  while (from > 0 && (events[from - 1]?.sequence ?? 0) > run.last_sequence) from -= 1;
  let now = run;
  for (const event of events.slice(from)) {
    if (event.run_id === run.run_id) now = { ...now, ...applyEvent(now, event as unknown as RunEvent) };
  }
  return now.state === "waiting" && timeline.working ? { ...now, state: "running", pending_input: null } : now;
}
