import { createContext, use, useSyncExternalStore } from "react";
import type { Run, WorkflowGraph } from "../api/types";
import type { RunModel } from "./model/runModel";

export interface RunView {
  readonly runId: string;
  readonly run: Run;
  readonly graph: WorkflowGraph | null;
  readonly agent: string;
  /** Whether the agent's process answers; true while that is not known. */
  readonly reachable: boolean;
  readonly model: RunModel;
  /** Whether the whole journal so far has been read. */
  readonly complete: boolean;
}

export const RunContext = createContext<RunView | null>(null);

/** The run that the page shows. */
export function useRunView(): RunView {
  const view = use(RunContext);
  if (!view) throw new Error("no run around this view");
  return view;
}

/** The journal's projections; the component renders anew when there are new events. */
export function useModel(): RunModel {
  const { model } = useRunView();
  useSyncExternalStore(model.subscribe, () => model.version);
  return model;
}
