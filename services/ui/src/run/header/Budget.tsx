import type { Review } from "../model/loop";

const MOST_CELLS = 20;

/** Hops that are left, as cells that are used up from the left. */
export function HopBar({ left, max }: { left: number; max: number }) {
  if (max <= 0) return null;
  const cells = Math.min(max, MOST_CELLS);
  const used = Math.round(((max - left) / max) * cells);
  return (
    <span className="hop-bar" aria-hidden="true">
      {Array.from({ length: cells }, (_, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a cell is its place
        <span key={place} className={`hop-cell ${place < used ? "hop-used" : ""}`} />
      ))}
    </span>
  );
}

interface CycleStepsProps {
  cycle: number;
  max: number;
  reviews: readonly Review[];
}

/** Review cycles so far, each with its verdict, and those that may follow. */
export function CycleSteps({ cycle, max, reviews }: CycleStepsProps) {
  const cells = Array.from({ length: Math.min(max, MOST_CELLS) }, (_, place) => {
    const verdict = reviews.findLast((review) => review.cycle === place + 1)?.verdict ?? "";
    return { number: place + 1, verdict };
  });
  return (
    <span className="cycle-steps" aria-hidden="true">
      {cells.map(({ number, verdict }) => (
        <span
          key={number}
          className={`cycle-step ${number === cycle ? "cycle-now" : ""} ${verdict ? `cycle-${verdictKind(verdict)}` : ""}`}
          title={`Review cycle ${number}${verdict ? `: ${verdict}` : ""}`}
        >
          {verdict === "approve" ? "✓" : verdict ? "↺" : number}
        </span>
      ))}
    </span>
  );
}

function verdictKind(verdict: string): "good" | "again" {
  return verdict === "approve" ? "good" : "again";
}
