import { field } from "../app/searchParams";

/** What the address of the runs says: the filter, and the form for a new run. */
export interface RunsSearch {
  q?: string | undefined;
  workflow?: string | undefined;
  state?: string | undefined;
  outcome?: string | undefined;
  new?: string | undefined;
  /** The run that the new one is to be like. */
  like?: string | undefined;
}

export function runsSearch(fields: Record<string, unknown>): RunsSearch {
  return {
    q: field(fields, "q"),
    workflow: field(fields, "workflow"),
    state: field(fields, "state", 63),
    outcome: field(fields, "outcome", 63),
    new: field(fields, "new", 1),
    like: field(fields, "like", 64),
  };
}

export function isFiltered({ q, workflow, state, outcome }: RunsSearch): boolean {
  return Boolean(q || workflow || state || outcome);
}
