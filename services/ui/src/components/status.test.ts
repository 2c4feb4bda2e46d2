import { expect, it } from "vitest";
import { outcomeLook, RUN_OUTCOMES, RUN_STATES, runLook, serviceLook, stateLook } from "./status";

it("shows words that it does not know as they are, also those that every object has", () => {
  for (const word of ["sleeping", "constructor", "__proto__"]) {
    expect(stateLook(word)).toMatchObject({ word, tone: "idle" });
  }
  expect(outcomeLook("").word).toBe("Unknown");
  expect(serviceLook("draining").word).toBe("draining");
});

it("shows how an ended run ended", () => {
  expect(runLook({ state: "ended", outcome: "Failed" }).word).toBe("Failed");
  expect(runLook({ state: "running", outcome: "" }).word).toBe("Running");
});

it("tells no two states or outcomes by colour alone", () => {
  for (const looks of [RUN_STATES.map(stateLook), RUN_OUTCOMES.map(outcomeLook)]) {
    expect(new Set(looks.map((look) => look.word)).size).toBe(looks.length);
  }
});
