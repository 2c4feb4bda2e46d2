import { expect, it } from "vitest";
import { aMessage } from "../../test/samples";
import { matches, rolesOf } from "./messagesSearch";

it("finds a role that sends or receives", () => {
  const message = aMessage("reviewer", "coder");
  expect(matches(message, { role: "reviewer" })).toBe(true);
  expect(matches(message, { role: "coder" })).toBe(true);
  expect(matches(message, { role: "router" })).toBe(false);
});

it("tells waiting from delivered, both conditions together", () => {
  const waiting = aMessage("user", "coder", false);
  expect(matches(waiting, { delivery: "waiting" })).toBe(true);
  expect(matches(waiting, { delivery: "delivered" })).toBe(false);
  expect(matches(waiting, { role: "reviewer", delivery: "waiting" })).toBe(false);
});

it("names each role once", () => {
  expect(rolesOf([aMessage("reviewer", "coder"), aMessage("coder", "reviewer"), aMessage("", "coder")])).toEqual([
    "coder",
    "reviewer",
  ]);
});
