import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Throttle } from "./throttle";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("acts at once, then once for all that came in the period", () => {
  const action = vi.fn();
  const throttle = new Throttle(action, 100);
  for (let count = 0; count < 50; count += 1) throttle.call();
  expect(action).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(100);
  expect(action).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(1000);
  expect(action).toHaveBeenCalledTimes(2);
  throttle.call();
  expect(action).toHaveBeenCalledTimes(3);
});
