import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Throttle } from "./throttle";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("acts at once, then once for all that came in the period", async () => {
  const action = vi.fn(async () => undefined);
  const throttle = new Throttle(action, 100);
  for (let count = 0; count < 50; count += 1) throttle.call();
  expect(action).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(100);
  expect(action).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(1000);
  expect(action).toHaveBeenCalledTimes(2);
  throttle.call();
  expect(action).toHaveBeenCalledTimes(3);
});

it("waits for an action that takes long, and goes on after one that failed", async () => {
  const ends: ((failed?: unknown) => void)[] = [];
  const action = vi.fn(
    () => new Promise((resolve, reject) => ends.push((failed) => (failed ? reject(failed) : resolve(undefined)))),
  );
  const throttle = new Throttle(action, 100);
  throttle.call();
  throttle.call();
  await vi.advanceTimersByTimeAsync(5000);
  expect(action).toHaveBeenCalledTimes(1);
  ends[0]?.(new Error("away"));
  await vi.advanceTimersByTimeAsync(0);
  expect(action).toHaveBeenCalledTimes(2);
});

it("acts no more once it was stopped", async () => {
  const action = vi.fn(async () => undefined);
  const throttle = new Throttle(action, 100);
  throttle.call();
  throttle.call();
  throttle.stop();
  await vi.advanceTimersByTimeAsync(1000);
  expect(action).toHaveBeenCalledTimes(1);
});
