import { describe, expect, it } from "vitest";
import { formatCursor, isKnown, parseCursor } from "./cursor";

describe("cursor", () => {
  it("reads what it writes, with an agent that has an equals sign in its id", () => {
    const text = "review=12;ns.pod=x=7";
    expect(formatCursor(parseCursor(text))).toBe(text);
    expect(parseCursor(text).get("ns.pod=x")).toBe(7);
  });

  it.each(["", ";", "a", "a=", "=3", "a=x", "a=1.5"])("leaves out %j", (text) => {
    expect(parseCursor(text).size).toBe(0);
  });

  it("knows an event up to its number, and none of an agent that it has not heard of", () => {
    const cursor = parseCursor("a=5");
    expect([4, 5, 6].map((sequence) => isKnown(cursor, "a", sequence))).toEqual([true, true, false]);
    expect(isKnown(cursor, "b", 1)).toBe(false);
  });
});
