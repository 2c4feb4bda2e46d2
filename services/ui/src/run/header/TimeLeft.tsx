import { useMemo } from "react";
import { formatCountdown } from "../../clock/format";
import { useNow } from "../../clock/useNow";
import { Icon } from "../../components/Icon";
import { type RunClock, remainingSeconds } from "../model/budget";
import { useRunView } from "../runContext";

const STANDS: Record<string, string> = {
  waiting: "stands still while the run waits",
  paused: "stands still while the run is paused",
};

/** Time that the run may still use; says when its clock stands still. */
export function TimeLeft({ readAt }: { readAt: number }) {
  const { run, reachable } = useRunView();
  useNow();
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was read anew begins to count anew
  const clock = useMemo<RunClock>(
    () => ({ state: run.state, remainingSeconds: run.remaining_time, readAt: performance.now() }),
    [run.state, run.remaining_time, readAt],
  );
  const seconds = remainingSeconds(clock, performance.now(), reachable);
  if (seconds === null) return <span className="faint">no limit</span>;
  const still = reachable ? STANDS[run.state] : "stands still while the agent is away";
  return (
    <span className="time-left" role="timer">
      {formatCountdown(seconds * 1000)}
      {still ? (
        <span className="run-fact-note" title={`The clock ${still}`}>
          <Icon name="pause" size={12} />
          <span className="visually-hidden">, {still}</span>
        </span>
      ) : null}
    </span>
  );
}
