import { describe, expect, it } from "vitest";
import { formatAgo, formatBytes, formatCountdown, formatDuration } from "./format";

describe("formatDuration", () => {
  it.each([
    [0, "0 ms"],
    [0.25, "0.25 ms"],
    [4.26, "4.3 ms"],
    [350.4, "350 ms"],
    [4200, "4.2 s"],
    [59_960, "1 min"],
    [200_000, "3 min 20 s"],
    [7_500_000, "2 h 5 min"],
    [Number.NaN, "–"],
  ])("shows %d ms as %s", (milliseconds, shown) => {
    expect(formatDuration(milliseconds)).toBe(shown);
  });
});

describe("formatCountdown", () => {
  it.each([
    [598_000, "9:58"],
    [597_400, "9:58"],
    [3_723_000, "1:02:03"],
    [-5, "0:00"],
  ])("shows %d ms as %s", (milliseconds, shown) => {
    expect(formatCountdown(milliseconds)).toBe(shown);
  });
});

describe("formatAgo", () => {
  it.each([
    [0, "just now"],
    [12_000, "12 s ago"],
    [-180_000, "in 3 min"],
    [90_000_000, "1 d ago"],
  ])("%d ms after the time: %s", (elapsed, shown) => {
    expect(formatAgo(1_000_000, 1_000_000 + elapsed)).toBe(shown);
  });
});

describe("formatBytes", () => {
  it.each([
    [512, "512 B"],
    [65_536, "64 KiB"],
    [1_572_864, "1.5 MiB"],
  ])("shows %d as %s", (bytes, shown) => {
    expect(formatBytes(bytes)).toBe(shown);
  });
});
