import { formatDuration, timeOf } from "../clock/format";
import { useNow } from "../clock/useNow";

/** From `from` to `to`; up to now while `to` is not known. */
export function Duration({ from, to }: { from: string | null; to: string | null }) {
  const now = useNow();
  if (!from) return <span className="faint">–</span>;
  const end = to ? timeOf(to) : now;
  return <span className="nowrap">{formatDuration(Math.max(0, end - timeOf(from)))}</span>;
}
