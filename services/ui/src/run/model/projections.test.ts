import { describe, expect, it } from "vitest";
import { remainingSeconds } from "./budget";
import approved from "./fixtures/approved.json";
import asked from "./fixtures/asked.json";
import plain from "./fixtures/plain.json";
import { FINISH, START, type WorkflowShape } from "./graphState";
import { loopLabel } from "./loop";
import { RunModel } from "./runModel";
import { Journal, ORIGIN } from "./sample";
import { foldsOf, TimeScale, ticks } from "./scale";
import { differences } from "./textDiff";

const SHAPE: WorkflowShape = {
  steps: ["research", "code", "review"].map((name) => ({
    name,
    role: name,
    capability: "",
    service: "",
    requires_approval: false,
    optional: name === "research",
  })),
  cycle_from: "review",
  cycle_to: "code",
};

function modelOf(events: readonly unknown[]): RunModel {
  const model = new RunModel();
  model.add(events);
  return model;
}

function states(model: RunModel): string[] {
  return model.graph.view(SHAPE).nodes.map((node) => node.state);
}

function revised(): Journal {
  const journal = new Journal().write("RunAccepted", 0, { max_hops: 5, max_cycles: 2 });
  const cycle = { max_cycles: 2, current_cycle: 1 };
  journal.hop("code", 1, 1, { ...cycle, remaining_hops: 4, cycle: 1 });
  journal.hop("review", 2, 3, { ...cycle, remaining_hops: 3, cycle: 1, verdict: "revise", output: "Rename it." });
  return journal.write("ReviewCycle", 4, { cycle: 1, max_cycles: 2, verdict: "revise" }, "review", 2);
}

describe("graph", () => {
  it("follows a run through skipped and done steps to its end", () => {
    const model = modelOf(plain.events);
    expect(states(model)).toEqual(["skipped", "done", "done"]);
    const { edges, outcome } = model.graph.view(SHAPE);
    expect(edges.map(({ taken }) => taken)).toEqual([1, 1, 1, 1, 0]);
    expect(outcome).toBe("Completed");
  });

  it.each([
    [2, ["deciding", "waiting", "waiting"]],
    [3, ["question", "waiting", "waiting"]],
    [8, ["active", "waiting", "waiting"]],
    [9, ["done", "waiting", "waiting"]],
  ])("shows where the run stands after %i events", (count, expected) => {
    expect(states(modelOf(asked.events.slice(0, count)))).toEqual(expected);
  });

  it("waits for approval until the step begins", () => {
    const asks = approved.events.findIndex((event) => event.type === "ApprovalRequested");
    expect(states(modelOf(approved.events.slice(0, asks + 1)))[2]).toBe("approval");
    expect(states(modelOf(approved.events.slice(0, asks + 3)))[2]).toBe("active");
  });

  it("counts the way back of the review loop", () => {
    const journal = revised();
    journal.hop("code", 3, 5);
    const { edges, nodes } = modelOf(journal.events).graph.view(SHAPE);
    expect(edges.find((edge) => edge.back)).toEqual({ from: "review", to: "code", taken: 1, back: true });
    expect(nodes.map((node) => node.done)).toEqual([0, 2, 1]);
  });

  it("enters a step once, also when it is routed again after a question", () => {
    const { edges } = modelOf(asked.events).graph.view(SHAPE);
    expect(edges.map(({ from, to, taken }) => [from, to, taken]).slice(0, 2)).toEqual([
      [START, "research", 1],
      ["research", "code", 1],
    ]);
    expect(edges.filter((edge) => edge.from === edge.to)).toEqual([]);
  });

  it("makes do without the workflow", () => {
    const { nodes, edges } = modelOf(plain.events).graph.view(null);
    expect(nodes.map((node) => node.step.name)).toEqual(["research", "code", "review"]);
    expect([edges[0]?.from, edges.at(-1)?.to]).toEqual([START, FINISH]);
  });

  it("stops what was going on when the run is cancelled", () => {
    const journal = new Journal()
      .write("StepStarted", 0, {}, "code", 1)
      .write("RunCompleted", 1, { outcome: "Cancelled" });
    expect(states(modelOf(journal.events))).toEqual(["waiting", "stopped", "waiting"]);
  });
});

describe("decisions", () => {
  it("puts each decision next to the recommendation that it was made on, also when the user was asked between", () => {
    const { pairs } = modelOf(asked.events).decisions;
    expect(pairs.map((pair) => [pair.step, pair.decision?.verdict])).toEqual([
      ["research", "asked"],
      ["research", "agreed"],
      ["code", "agreed"],
      ["review", "skipped"],
    ]);
  });

  it("turns log-probabilities into likelihoods, and has none where no model was asked", () => {
    const { pairs } = modelOf(asked.events).decisions;
    expect(pairs[2]?.decision?.choices[0]?.likelihood).toBeCloseTo(Math.exp(-2.195), 3);
    expect(pairs[1]?.decision?.choices[0]?.likelihood).toBeNull();
  });

  it("never puts a decision beside the recommendation for another step", () => {
    const journal = new Journal().write("Recommended", 0, {}, "code", 1).write("Decided", 1, {}, "review", 1);
    const { pairs } = modelOf(journal.events).decisions;
    expect(pairs.map((pair) => [pair.step, pair.decision === null])).toEqual([
      ["code", true],
      ["review", false],
    ]);
  });

  it("tells an overruled recommendation", () => {
    const journal = new Journal().write("Decided", 0, { action: "invoke", service: "beta", agreed: false }, "code", 1);
    expect(modelOf(journal.events).decisions.pairs[0]?.decision?.verdict).toBe("overruled");
  });
});

describe("loop, hops and drafts", () => {
  it("counts the next cycle from the moment that changes are asked for", () => {
    const { loop, hops } = modelOf(revised().events);
    expect(loopLabel(loop.cycle, loop.maxCycles)).toBe("Review Cycle 2 of 2");
    expect(loop.reviews).toMatchObject([{ cycle: 1, verdict: "revise", text: "Rename it." }]);
    expect([hops.left(), hops.max]).toEqual([3, 5]);
  });

  it("stays in the last cycle, and has no label without a loop", () => {
    const journal = revised().write("ReviewCycle", 9, { cycle: 2, max_cycles: 2, verdict: "revise" }, "review", 4);
    expect(modelOf(journal.events).loop.cycle).toBe(2);
    expect(loopLabel(0, 0)).toBe("");
  });

  it("keeps each answer with the one that it replaces", () => {
    const journal = revised();
    journal.hop("code", 3, 5, { output: "def better(): ...", cycle: 2, usage: { prompt_tokens: 7 } });
    const { all } = modelOf(journal.events).drafts;
    expect(all.map((draft) => [draft.step, draft.cycle, draft.before?.cycle])).toEqual([
      ["code", 1, undefined],
      ["review", 1, undefined],
      ["code", 2, 1],
    ]);
    expect(all[2]?.promptTokens).toBe(7);
  });

  it.each([
    ["running", true, 4000, 6],
    ["accepted", true, 4000, 6],
    ["waiting", true, 4000, 10],
    ["paused", true, 4000, 10],
    ["ended", true, 4000, 10],
    ["running", false, 4000, 10],
    ["running", true, 60_000, 0],
    ["running", true, -5000, 10],
  ])("of 10 s, a run that is %s (driven: %s) has after %i ms: %i s", (state, driven, passed, expected) => {
    expect(remainingSeconds({ state, remainingSeconds: 10, readAt: 500 }, 500 + passed, driven)).toBe(expected);
  });

  it("has no countdown where there is no clock", () => {
    expect(remainingSeconds({ state: "running", remainingSeconds: null, readAt: 0 }, 9)).toBeNull();
  });
});

describe("messages", () => {
  it("joins the journal with what is stored, and keeps what was refused", () => {
    const sent = { message_id: "m1", sender_role: "reviewer", recipient_role: "coder" };
    const journal = new Journal()
      .write("MessageSent", 1, sent, "review", 2)
      .write("MessageDelivered", 2, { message_id: "m1" }, "code", 3)
      .write("MessageRefused", 3, { sender_role: "coder", recipient_role: "boss", reason: "no role" }, "code", 3);
    const stored = [
      { message: { ...sent, payload: "Rename it." }, delivered: false },
      {
        message: { message_id: "m2", sender_role: "user", payload: "Hi", create_time: "2027-01-01T00:00:00Z" },
        delivered: true,
      },
      { message: null },
    ];
    const view = modelOf(journal.events).messages.view(stored);
    expect(view.map(({ state, payload, received }) => [state, payload, received])).toEqual([
      ["received", "Rename it.", ORIGIN + 2000],
      ["refused", null, null],
      ["received", "Hi", null],
    ]);
  });
});

describe("differences", () => {
  it("are told by words", () => {
    expect(differences("a small cat", "a big cat")).toEqual([
      { kind: "same", text: "a " },
      { kind: "removed", text: "small" },
      { kind: "added", text: "big" },
      { kind: "same", text: " cat" },
    ]);
    expect(differences("same", "same")).toEqual([{ kind: "same", text: "same" }]);
    expect(differences("", "")).toEqual([]);
  });

  it("join to both texts again, whatever is in them", () => {
    const before = `<b>${"line of text\n".repeat(3000)}`;
    const after = `<i>${"line of text\n".repeat(2990)}end`;
    const parts = differences(before, after) ?? [];
    const join = (without: string): string =>
      parts
        .filter((part) => part.kind !== without)
        .map((part) => part.text)
        .join("");
    expect([join("added"), join("removed")]).toEqual([before, after]);
  });
});

describe("time scale", () => {
  it("is straight without folds", () => {
    const scale = new TimeScale(1000, 2000);
    expect([scale.place(1000), scale.place(1250), scale.place(3000)]).toEqual([0, 0.25, 1]);
    expect(scale.timeAt(0.25)).toBe(1250);
  });

  it("draws a long wait short, keeps the order, and finds its way back", () => {
    const folds = foldsOf(
      [
        { start: 100, end: 9000 },
        { start: 8000, end: 9900 },
        { start: 50, end: 60 },
      ],
      0,
      10_000,
    );
    expect(folds).toEqual([{ start: 100, end: 9900 }]);
    const scale = new TimeScale(0, 10_000, folds);
    expect(scale.place(9900) - scale.place(100)).toBeCloseTo(0.04);
    expect(scale.place(100)).toBeGreaterThan(0.4);
    for (const time of [0, 50, 100, 5000, 9900, 9950, 10_000])
      expect(scale.timeAt(scale.place(time))).toBeCloseTo(time);
  });

  it("has no length of zero", () => {
    expect(new TimeScale(5, 5).place(5)).toBe(0);
    expect(new TimeScale(0, 10, [{ start: 0, end: 10 }]).place(10)).toBe(1);
  });

  it("ticks at round distances, but not where time is folded", () => {
    expect(ticks(new TimeScale(0, 10_000), 0, 1, 5)).toEqual([0, 2000, 4000, 6000, 8000, 10_000]);
    const folded = new TimeScale(0, 10_000, [{ start: 2000, end: 9000 }]);
    expect(ticks(folded, 0, 1, 3)).toEqual([0, 1000, 2000, 9000, 10_000]);
    expect(ticks(new TimeScale(0, 0), 0, 1, 3)).toEqual([0, 1]);
  });
});
