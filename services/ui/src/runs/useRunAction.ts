import { useMutation, useQueryClient } from "@tanstack/react-query";
import { actOnRun, type RunAction } from "../api/endpoints";
import { explain } from "../api/errors";
import { keys } from "../api/keys";
import { toasts } from "../components/toastStore";

/** Steers a run; where it stands afterwards is shown by its state. Sending the same action again is safe. */
export function useRunAction(runId: string, done?: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (action: RunAction) => actOnRun(runId, action),
    onSuccess: () => done?.(),
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
