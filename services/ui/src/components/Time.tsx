import { formatAgo, formatTime, timeOf } from "../clock/format";
import { useNow } from "../clock/useNow";

/** How long ago, by the server's clock; the full time on hover and for machines. */
export function Time({ at, empty = "–" }: { at: string | null | undefined; empty?: string }) {
  const now = useNow();
  if (!at) return <span className="faint">{empty}</span>;
  return (
    <time dateTime={at} title={formatTime(at)} className="nowrap">
      {formatAgo(timeOf(at), now)}
    </time>
  );
}
