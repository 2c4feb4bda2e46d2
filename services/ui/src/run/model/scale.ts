/** A stretch of time that is drawn at a fraction of its length. */
export interface Fold {
  readonly start: number;
  readonly end: number;
}

interface Piece extends Fold {
  readonly folded: boolean;
  readonly from: number;
  readonly to: number;
}

/** Share of the whole width that a folded stretch keeps. */
const FOLDED_SHARE = 0.04;
/** Only what takes more than this share of all time is worth folding. */
const WORTH_FOLDING = 0.12;

/** Maps time to [0, 1], in a straight line but for the folds. */
export class TimeScale {
  readonly start: number;
  readonly end: number;
  readonly folds: readonly Fold[];
  private readonly pieces: Piece[];

  constructor(start: number, end: number, folds: readonly Fold[] = []) {
    this.start = start;
    this.end = end;
    this.folds = folds;
    this.pieces = pieces(start, Math.max(end, start + 1), folds);
  }

  place(time: number): number {
    const piece = this.pieces.find((each) => time <= each.end) ?? this.pieces.at(-1);
    if (!piece || piece.end === piece.start) return 0;
    const share = (time - piece.start) / (piece.end - piece.start);
    return Math.min(Math.max(piece.from + share * (piece.to - piece.from), 0), 1);
  }

  timeAt(place: number): number {
    const piece = this.pieces.find((each) => place <= each.to) ?? this.pieces.at(-1);
    if (!piece || piece.to === piece.from) return this.start;
    return piece.start + ((place - piece.from) / (piece.to - piece.from)) * (piece.end - piece.start);
  }

  /** What is drawn at its length between two places. */
  stretches(from: number, to: number): Fold[] {
    const start = this.timeAt(from);
    const end = this.timeAt(to);
    return this.pieces
      .filter((piece) => !piece.folded && piece.end >= start && piece.start <= end)
      .map((piece) => ({ start: Math.max(piece.start, start), end: Math.min(piece.end, end) }));
  }
}

/** Of stretches in which nothing was done, those that would make all else too small to see. */
export function foldsOf(idle: readonly Fold[], start: number, end: number): Fold[] {
  const merged: Fold[] = [];
  for (const { start: from, end: to } of [...idle].sort((one, other) => one.start - other.start)) {
    const last = merged.at(-1);
    if (last && from <= last.end) merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, to) };
    else merged.push({ start: from, end: to });
  }
  return merged.filter((fold) => fold.end - fold.start > (end - start) * WORTH_FOLDING);
}

/** About `most` round moments of what is drawn from place `from` to `to`, none of them in a fold. */
export function ticks(scale: TimeScale, from: number, to: number, most: number): number[] {
  const shown = scale.stretches(from, to);
  const length = shown.reduce((sum, stretch) => sum + stretch.end - stretch.start, 0);
  const step = tickStep(length / Math.max(most, 1));
  const found: number[] = [];
  for (const stretch of shown) {
    const first = scale.start + Math.ceil((stretch.start - scale.start) / step) * step;
    for (let time = first; time <= stretch.end && found.length < 4 * most; time += step) found.push(time);
  }
  return found;
}

/** A round moment after `now`, so that a chart that grows is drawn anew only now and then. */
export function roomFor(start: number, now: number): number {
  const length = Math.max(now - start, 3000) * 1.04;
  const step = tickStep(length / 12);
  return start + Math.ceil(length / step) * step;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5];

function tickStep(least: number): number {
  const found = STEPS.find((step) => step >= least);
  return found ?? Math.ceil(least / 36e5) * 36e5;
}

function pieces(start: number, end: number, folds: readonly Fold[]): Piece[] {
  const cuts: { start: number; end: number; folded: boolean }[] = [];
  let at = start;
  for (const fold of folds) {
    const from = Math.max(fold.start, at);
    const to = Math.min(fold.end, end);
    if (to <= from) continue;
    if (from > at) cuts.push({ start: at, end: from, folded: false });
    cuts.push({ start: from, end: to, folded: true });
    at = to;
  }
  if (at < end || cuts.length === 0) cuts.push({ start: at, end, folded: false });
  const plain = cuts.filter((cut) => !cut.folded).reduce((sum, cut) => sum + cut.end - cut.start, 0);
  const folded = cuts.filter((cut) => cut.folded).length;
  const rest = plain > 0 ? Math.max(1 - folded * FOLDED_SHARE, 0.2) : 0;
  const each = folded > 0 ? (1 - rest) / folded : 0;
  let place = 0;
  return cuts.map((cut) => {
    const width = cut.folded ? each : ((cut.end - cut.start) / plain) * rest;
    const piece = { ...cut, from: place, to: place + width };
    place += width;
    return piece;
  });
}
