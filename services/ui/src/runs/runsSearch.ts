import { field } from "../app/searchParams";

/** What the address of the runs says: the filter, and whether the form for a new run is open. */
export interface RunsSearch {
  q?: string | undefined;
  workflow?: string | undefined;
  state?: string | undefined;
  outcome?: string | undefined;
  new?: string | undefined;
}

export function runsSearch(fields: Record<string, unknown>): RunsSearch {
  return {
    q: field(fields, "q"),
    workflow: field(fields, "workflow"),
    state: field(fields, "state", 63),
    outcome: field(fields, "outcome", 63),
    new: field(fields, "new", 1),
  };
}

export function isFiltered({ q, workflow, state, outcome }: RunsSearch): boolean {
  return Boolean(q || workflow || state || outcome);
}
