import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { listEvents } from "../api/endpoints";
import type { StreamEvent } from "../stream/events";
import { useStreamEvents } from "../stream/StreamProvider";
import { RunModel } from "./model/runModel";

const PAGE = 1000;
const RETRY_MS = 3000;

export interface Journal {
  readonly model: RunModel;
  /** Whether all that the journal held when it was read is here. */
  readonly complete: boolean;
  /** Why it could not be read; null when all is well. */
  readonly error: unknown;
}

/**
 * The journal of a run: read in pages, then followed by the stream.
 *
 * Whenever the stream begins anew, what lies between is read too; what comes twice is dropped.
 */
export function useJournal(runId: string, agent: string | null): Journal {
  const model = useMemo(() => newModel(runId), [runId]);
  const [complete, setComplete] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [reading, setReading] = useState(0);
  const waiting = useRef<unknown[]>([]);
  const frame = useRef(0);

  const flush = useCallback(() => {
    frame.current = 0;
    model.add(waiting.current.splice(0));
  }, [model]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another model is another journal
  useEffect(() => {
    setComplete(false);
    return () => {
      cancelAnimationFrame(frame.current);
      frame.current = 0;
      waiting.current = [];
    };
  }, [model]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: each number is one more reading
  useEffect(() => {
    const abort = new AbortController();
    let again: ReturnType<typeof setTimeout> | undefined;
    readAll(model, runId, abort.signal).then(
      () => {
        setError(null);
        setComplete(true);
      },
      (reason: unknown) => {
        if (abort.signal.aborted) return;
        setError(reason);
        again = setTimeout(() => setReading((number) => number + 1), RETRY_MS);
      },
    );
    return () => {
      abort.abort();
      clearTimeout(again);
    };
  }, [model, runId, reading]);

  useStreamEvents((event) => {
    if (isOurs(event, runId, agent)) {
      waiting.current.push(event.event);
      if (document.hidden) flush();
      else frame.current ||= requestAnimationFrame(flush);
    } else if (event.type === "hello" || event.type === "resync") {
      if (event.type === "resync") {
        model.clear();
        setComplete(false);
      }
      setReading((number) => number + 1);
    }
  });

  return { model, complete, error };
}

function newModel(_: string): RunModel {
  return new RunModel();
}

function isOurs(event: StreamEvent, runId: string, agent: string | null): event is StreamEvent & { type: "journal" } {
  if (event.type !== "journal") return false;
  return event.event.run_id === runId || (event.event.run_id === "" && event.agent === agent);
}

async function readAll(model: RunModel, runId: string, signal: AbortSignal): Promise<void> {
  let more = true;
  let after = model.lastOfRun(runId);
  while (more) {
    const page = await listEvents(runId, after, PAGE, signal);
    model.add(page.events);
    const last = page.events.at(-1)?.sequence ?? after;
    more = page.more && last > after;
    after = last;
  }
}
