import { expect, it } from "vitest";
import { backoff } from "./backoff";

it("doubles up to a cap, between half and all of it", () => {
  expect([0, 1, 2].map((attempt) => backoff(attempt, 1000, () => 1))).toEqual([1000, 2000, 4000]);
  expect(backoff(2, 1000, () => 0)).toBe(2000);
  expect(backoff(1000, 1000, () => 1)).toBe(15_000);
});
