import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { actOnRun, type RunAction } from "../api/endpoints";
import { ApiError } from "../api/errors";
import { keys } from "../api/keys";

interface Answering {
  /** `done` is what is shown once the gateway took the action. */
  send: (action: RunAction, done: string) => void;
  busy: boolean;
  /** What became of it, when nothing more is to be asked. */
  settled: string;
  error: unknown;
}

/** Answers what a run waits for under `id`; what waits under another id is asked anew. */
export function useAnswer(runId: string, id: string): Answering {
  const queries = useQueryClient();
  const [settled, setSettled] = useState({ id: "", text: "" });
  const mutation = useMutation({
    mutationFn: ({ action }: { action: RunAction; done: string }) => actOnRun(runId, action),
    onSuccess: (_, { done }) => setSettled({ id, text: done }),
    onError: (error) => {
      if (isLate(error)) setSettled({ id, text: "Somebody else answered meanwhile; nothing is left to do here." });
    },
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: keys.allRuns });
      void queries.invalidateQueries({ queryKey: keys.run(runId), exact: true });
    },
  });
  const { error } = mutation;
  return {
    send: (action, done) => mutation.mutate({ action, done }),
    busy: mutation.isPending,
    settled: settled.id === id ? settled.text : "",
    error: isLate(error) ? null : error,
  };
}

/** It had another answer before, or waits for it no more. */
function isLate(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}
