import { describe, expect, it } from "vitest";
import { anEvent, aRun } from "../../test/samples";
import { applyEvent } from "./applyEvent";

describe("applyEvent", () => {
  it("follows steps, hops and cycles", () => {
    const run = aRun();
    expect(applyEvent(run, anEvent({ type: "StepStarted", step: "review" }))).toMatchObject({
      current_step: "review",
      state: "running",
      last_sequence: 11,
    });
    expect(
      applyEvent(run, anEvent({ type: "StepCompleted", data: { remaining_hops: 1, current_cycle: 2 } })),
    ).toMatchObject({ remaining_hops: 1, current_cycle: 2 });
  });

  it("ends with outcome and reason", () => {
    const change = applyEvent(
      aRun(),
      anEvent({ type: "RunCompleted", data: { outcome: "Failed", reason: "NoAnswer: 3 tries" } }),
    );
    expect(change).toMatchObject({ state: "ended", outcome: "Failed", reason: "NoAnswer: 3 tries" });
    expect(change.end_time).toBe("2026-11-25T12:01:00.000Z");
  });

  it("changes nothing for an event that the row has in it already", () => {
    expect(applyEvent(aRun({ last_sequence: 11 }), anEvent({ type: "RunPaused" }))).toEqual({});
  });

  it("leaves a run that has ended ended, and an unknown event without effect on the state", () => {
    expect(applyEvent(aRun({ state: "ended" }), anEvent({ type: "StepStarted" })).state).toBe("ended");
    expect(applyEvent(aRun({ state: "waiting" }), anEvent({ type: "SomethingNew", data: null })).state).toBe("waiting");
  });

  it("counts a resumption, and leaves a run that waits waiting", () => {
    expect(applyEvent(aRun({ state: "waiting", recoveries: 1 }), anEvent({ type: "RunResumed" }))).toMatchObject({
      recoveries: 2,
      state: "waiting",
    });
  });
});
