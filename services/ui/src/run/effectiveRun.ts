import type { Run, RunEvent } from "../api/types";
import { applyEvent } from "../runs/applyEvent";
import type { RunEvent as JournalEvent } from "./model/wire";

/** The run as it was read, brought up to what the journal says since. */
export function effectiveRun(run: Run, events: readonly JournalEvent[]): Run {
  let from = events.length;
  while (from > 0 && (events[from - 1]?.sequence ?? 0) > run.last_sequence) from -= 1;
  let now = run;
  for (const event of events.slice(from)) {
    if (event.run_id === run.run_id) now = { ...now, ...applyEvent(now, event as unknown as RunEvent) };
  }
  return now;
}
