import { formatCountdown, timeOf } from "../clock/format";
import { useNow } from "../clock/useNow";

/** Time left until `until`, by the server's clock. */
export function Countdown({ until }: { until: string }) {
  const left = timeOf(until) - useNow();
  return (
    <span className="nowrap" role="timer" aria-label={`${formatCountdown(left)} left`}>
      {formatCountdown(left)}
    </span>
  );
}
