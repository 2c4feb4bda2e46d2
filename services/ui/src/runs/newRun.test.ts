import { expect, it } from "vitest";
import { newRun } from "./newRun";
import { MAX_PROMPT_BYTES, promptBytes, promptProblem } from "./promptBytes";

const ids = () => {
  let count = 0;
  return () => `id-${++count}`;
};

it("keeps its correlation id for another try of the same, and takes a new one for another prompt", () => {
  const makeId = ids();
  const first = newRun(null, "review", "Merge", makeId);
  expect(newRun(first, "review", "Merge", makeId).correlation_id).toBe(first.correlation_id);
  expect(newRun(first, "review", "Merge them", makeId).correlation_id).not.toBe(first.correlation_id);
  expect(newRun(first, "research", "Merge", makeId).correlation_id).not.toBe(first.correlation_id);
});

it("counts bytes of UTF-8, not characters", () => {
  expect(promptBytes("aé€😀")).toBe(1 + 2 + 3 + 4);
});

it("allows exactly 64 KiB and says by how much a prompt is longer", () => {
  expect(promptProblem("a".repeat(MAX_PROMPT_BYTES))).toBe("");
  expect(promptProblem("é".repeat(MAX_PROMPT_BYTES / 2 + 1))).toContain("2 bytes too long");
  expect(promptProblem("  \n")).not.toBe("");
});
