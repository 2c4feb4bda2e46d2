import { useMutation, useQueryClient } from "@tanstack/react-query";
import { actOnRun, type RunAction } from "../api/endpoints";
import { explain } from "../api/errors";
import { keys } from "../api/keys";
import { toasts } from "../components/toastStore";

const DONE: Record<RunAction["action"], string> = {
  cancel: "The run was cancelled.",
  pause: "The run stops at the end of its step.",
  resume: "The run goes on.",
  answer: "The answer was given; the run goes on.",
  approval: "The decision was taken; the run goes on.",
};

/** Steers a run and says how it went. Sending the same action again after a failure is safe. */
export function useRunAction(runId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (action: RunAction) => actOnRun(runId, action),
    onSuccess: (_run, { action }) => {
      toasts.show("ok", DONE[action]);
    },
    onError: (error) => {
      const { title, advice } = explain(error);
      toasts.show("bad", title, advice);
    },
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: keys.allRuns });
      void queries.invalidateQueries({ queryKey: keys.run(runId), exact: true });
    },
  });
}
