import { expect, it } from "vitest";
import { anAgent } from "../../test/samples";
import { commonMode, modeLook } from "./modeLook";

it("is common only when all agents agree", () => {
  expect(commonMode([anAgent("a", { mode: "debug" }), anAgent("b", { mode: "shipping" })])).toBeNull();
  expect(commonMode([anAgent("a")])).toBeNull();
  expect(commonMode([anAgent("a", {}), anAgent("b")])?.mode).toBe("shipping");
});

it("ends when the last agent's does, or never when one's does not", () => {
  const early = anAgent("a", { mode: "debug", until: "2026-11-25T12:05:00.000Z" });
  const late = anAgent("b", { mode: "debug", until: "2026-11-25T12:09:00.000Z" });
  expect(commonMode([early, late])?.until).toBe("2026-11-25T12:09:00.000Z");
  expect(commonMode([early, anAgent("c", { mode: "debug" })])?.until).toBeNull();
});

it("shows a mode that it does not know as it is", () => {
  expect(modeLook("tracing").word).toBe("tracing");
  expect(modeLook("").word).toBe("Unknown");
});
