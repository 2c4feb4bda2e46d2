import { type Change, diffLines, diffWordsWithSpace } from "diff";

export interface DiffPart {
  readonly kind: "same" | "added" | "removed";
  readonly text: string;
}

const MOST_CHARACTERS_BY_WORD = 20_000;
const LONGEST_MS = 200;

/** What changed from one text to the next: by words, or by lines for long texts; null when that would take too long. */
export function differences(before: string, after: string): DiffPart[] | null {
  if (before === after) return before ? [{ kind: "same", text: before }] : [];
  const byWord = before.length + after.length <= MOST_CHARACTERS_BY_WORD;
  const changes = byWord
    ? diffWordsWithSpace(before, after, { timeout: LONGEST_MS })
    : diffLines(before, after, { timeout: LONGEST_MS });
  return (changes as Change[] | undefined)?.map(partOf) ?? null;
}

function partOf(change: Change): DiffPart {
  return { kind: change.added ? "added" : change.removed ? "removed" : "same", text: change.value };
}
