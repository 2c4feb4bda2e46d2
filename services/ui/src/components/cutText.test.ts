import { expect, it } from "vitest";
import { cutText, oneLine } from "./cutText";

it("cuts long text without tearing a character apart", () => {
  expect(cutText("abc", 3)).toBe("abc");
  expect(cutText("ab😀", 3)).toBe("ab");
  expect(cutText("ab😀", 4)).toBe("ab😀");
});

it("makes one line of many, and says that it goes on", () => {
  expect(oneLine("  a\n\n b\t c ")).toBe("a b c");
  expect(oneLine("word ".repeat(100), 9)).toBe("word word…");
  expect(oneLine("x".repeat(1_000_000), 20)).toBe(`${"x".repeat(20)}…`);
});
