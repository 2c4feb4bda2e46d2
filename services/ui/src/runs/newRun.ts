import type { NewRun } from "../api/endpoints";
import { uuid } from "../api/uuid";

/**
 * The request for a run. As long as nothing in it changes it keeps its correlation id, so that a double click or
 * another try after an error is the same run; a changed prompt is another run.
 */
export function newRun(previous: NewRun | null, workflow: string, prompt: string, makeId: () => string = uuid): NewRun {
  if (previous && previous.workflow === workflow && previous.prompt === prompt) return previous;
  return { workflow, prompt, correlation_id: makeId() };
}
