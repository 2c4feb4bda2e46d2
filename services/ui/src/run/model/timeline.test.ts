import { describe, expect, it } from "vitest";
import approved from "./fixtures/approved.json";
import asked from "./fixtures/asked.json";
import crash from "./fixtures/crash.json";
import plain from "./fixtures/plain.json";
import rejected from "./fixtures/rejected.json";
import { lifeBegin } from "./marks";
import { extentOf, rowsOf, statusOf } from "./rows";
import { RunModel } from "./runModel";
import { Journal, longJournal, ORIGIN, type SampleEvent } from "./sample";
import { isHopPart, type Span } from "./spans";
import type { Timeline } from "./timeline";

function timelineOf(events: readonly unknown[]): Timeline {
  const model = new RunModel();
  model.add(events);
  return model.timeline;
}

function spans(timeline: Timeline, kind: Span["kind"]): Span[] {
  return [...timeline.spans.values()].filter((span) => span.kind === kind);
}

/** The same journal, with the events that agents tell of themselves told by the agent. */
function ofAgent(events: readonly SampleEvent[]): SampleEvent[] {
  return events.map((event) => (/^(Agent|Obs)/.test(event.type) ? { ...event, run_id: "" } : event));
}

function seconds(time: number | null): number | null {
  return time === null ? null : (time - ORIGIN) / 1000;
}

describe("timeline", () => {
  it("draws a plain run in one life, hop by hop, up to its end", () => {
    const timeline = timelineOf(plain.events);
    expect(timeline.lives).toHaveLength(1);
    expect(timeline.lives[0]?.items.filter(isHopPart).map((part) => part.step)).toEqual(["research", "code", "review"]);
    expect(spans(timeline, "attempt").map((span) => span.status)).toEqual(["done", "done"]);
    expect(timeline.ended).toBe(true);
    expect(timeline.pending).toBeNull();
  });

  it("opens a lane for each process life and marks as lost what the crash cut off", () => {
    const timeline = timelineOf(crash.events);
    expect(timeline.lives.map((life) => life.cause)).toEqual(["", "crash"]);
    expect(timeline.lives[0]?.lost).toBe(1);
    const reviews = spans(timeline, "attempt").filter((span) => span.step === "review");
    expect(reviews.map((span) => [span.life, span.status])).toEqual([
      [0, "lost"],
      [1, "done"],
    ]);
    expect(reviews[0]?.end).toBe(timeline.lives[1]?.start);
    const rows = rowsOf(timeline, () => true);
    expect(rows.filter((row) => row.kind === "life")).toHaveLength(2);
  });

  it("gives what the agent told at its start to the process that began", () => {
    const journal = new Journal().write("RunAccepted", 0).write("StepStarted", 1, { service: "alpha" }, "code", 1);
    journal.write("AgentStarted", 5, { cause: "crash" }).write("ObservabilityChanged", 5, { mode: "debug" });
    journal.write("RunResumed", 6, { cause: "crash" });
    const { lives } = timelineOf(ofAgent(journal.events));
    expect(lives.map((life) => life.items.filter((item) => !isHopPart(item)).length)).toEqual([0, 1]);
    expect(seconds(lives[0]?.end ?? null)).toBe(1);
  });

  it("opens a lane for a process that begins while the run waits, which no event of the run tells of", () => {
    const journal = new Journal()
      .write("RunAccepted", 0)
      .write("ApprovalRequested", 1, { approval_id: "a" }, "code", 1);
    for (const seconds of [5, 6, 7]) journal.write("AgentStarted", seconds, { cause: "crash" });
    journal.write("ApprovalDecided", 9, { approval_id: "a", approved: true }, "code", 1);
    journal.write("StepStarted", 10, { service: "alpha" }, "code", 1);
    const timeline = timelineOf(ofAgent(journal.events));
    expect(timeline.lives.map((life) => [seconds(life.start), lifeBegin(life)])).toEqual([
      [0, "from the begin"],
      [7, "begun after a crash, at the start number 3"],
    ]);
    const [wait] = spans(timeline, "approval");
    expect([wait?.life, wait?.status, seconds(wait?.end ?? null)]).toEqual([0, "done", 9]);
    expect(spans(timeline, "attempt").map((span) => span.life)).toEqual([1]);
  });

  it("is one lane whether the start of a process is known or not, and however late it is told", () => {
    const journal = new Journal().write("RunAccepted", 0).write("StepStarted", 1, { service: "alpha" }, "code", 1);
    journal.write("AgentStarted", 5, { cause: "crash" }).write("RunResumed", 6, { cause: "crash", lost: [{}, {}] });
    journal.write("StepStarted", 7, { service: "alpha" }, "code", 1);
    const events = ofAgent(journal.events);
    const model = new RunModel();
    const told = model.timeline;
    model.add(events.filter((event) => event.run_id));
    expect(told.lives.map((life) => [seconds(life.start), life.lost, lifeBegin(life)])).toEqual([
      [0, 2, "from the begin"],
      [6, 0, "resumed after a crash"],
    ]);
    model.add(events);
    expect(told.lives.map((life) => [seconds(life.start), life.lost, lifeBegin(life)])).toEqual([
      [0, 2, "from the begin"],
      [5, 0, "resumed after a crash"],
    ]);
  });

  it("takes no notice of processes before its first and after its last event", () => {
    const journal = new Journal().write("AgentStarted", 0, { cause: "first" }).write("RunAccepted", 1);
    journal.write("RunCompleted", 2, { outcome: "Completed" }).write("AgentStarted", 9, { cause: "restart" });
    const timeline = timelineOf(ofAgent(journal.events));
    expect(timeline.lives).toHaveLength(1);
    expect([timeline.start, timeline.end].map((time) => seconds(time))).toEqual([1, 2]);
  });

  it("says when a service had begun the work for the process that died", () => {
    const [, lost, again] = spans(timelineOf(crash.events), "attempt");
    expect(lost?.status).toBe("lost");
    expect(again?.joined).toBe(true);
    expect(again?.segments.every((part) => part.start >= (again?.start ?? 0))).toBe(true);
  });

  it("puts queue and work of the service at the end of the attempt", () => {
    const journal = new Journal().hop("code", 1, 10, { usage: { duration_ms: 600, queue_ms: 200 } });
    const [attempt] = spans(timelineOf(journal.events), "attempt");
    const parts = attempt?.segments.map(({ kind, start, end }) => [kind, seconds(start), seconds(end)]);
    expect(parts).toEqual([
      ["queue", 10.4, 10.6],
      ["work", 10.6, 11],
    ]);
  });

  it("ends the wait for an approval when its step begins, although the decision is journaled with the answer", () => {
    const timeline = timelineOf(approved.events);
    const [wait] = spans(timeline, "approval");
    const review = spans(timeline, "attempt").at(-1);
    expect(wait?.end).toBe(review?.start);
    expect([wait?.status, wait?.detail]).toEqual(["done", "approved"]);
    expect(timeline.pending).toBeNull();
  });

  it("shows a rejected approval, a pause and a question", () => {
    const timeline = timelineOf(rejected.events);
    expect(spans(timeline, "approval").map((span) => [span.status, span.detail])).toEqual([["failed", "rejected"]]);
    expect(spans(timeline, "pause").map((span) => [span.status, span.detail])).toEqual([["done", "lunch"]]);
    const [question] = spans(timelineOf(asked.events), "question");
    expect([question?.status, question?.detail]).toEqual(["done", "Write Python code"]);
  });

  it("draws each try of a step and what failed", () => {
    const start = { service: "alpha", attempt: 1 };
    const journal = new Journal()
      .write("StepStarted", 0, start, "code", 1)
      .write("StepRetried", 1, { ...start, error: "alpha: UNAVAILABLE" }, "code", 1)
      .write("StepStarted", 2, { service: "beta", attempt: 2 }, "code", 1)
      .write("StepFailed", 3, { service: "beta", reason: "Refused", message: "no" }, "code", 1);
    const found = spans(timelineOf(journal.events), "attempt");
    expect(found.map(({ title, status, detail }) => [title, status, detail])).toEqual([
      ["alpha", "retried", "alpha: UNAVAILABLE"],
      ["beta", "failed", "no"],
    ]);
  });

  it("links a message to the moment that it was received, and says when it never was", () => {
    const sent = { message_id: "m", sender_role: "reviewer", recipient_role: "coder" };
    const journal = new Journal().write("MessageSent", 1, sent, "review", 2);
    expect(spans(timelineOf(journal.events), "message")[0]?.end).toBeNull();
    const both = timelineOf([...journal.write("MessageDelivered", 4, { message_id: "m" }, "code", 3).events]);
    expect(spans(both, "message").map((span) => [span.detail, seconds(span.end)])).toEqual([["reviewer → coder", 4]]);
    const never = new Journal().write("MessageSent", 1, sent).write("RunCompleted", 2, { outcome: "Completed" });
    expect(spans(timelineOf(never.events), "message")[0]?.status).toBe("stopped");
  });

  it.each([
    ["RunAccepted", "", "recommend"],
    ["Recommended", "code", "decide"],
    ["Decided", "code", "attempt"],
  ])("knows what goes on after %s", (type, step, kind) => {
    const journal = new Journal().write(type, 1, { action: "invoke" }, step, 1);
    expect(timelineOf(journal.events).pending).toMatchObject({ kind, step });
  });

  it("makes a mark of a type that it does not know", () => {
    const timeline = timelineOf([
      { sequence: 1, run_id: "run", type: "constructor" },
      { sequence: 2, run_id: "run", type: "TeaServed", step: "code" },
    ]);
    expect(spans(timeline, "mark").map((span) => span.title)).toEqual(["constructor", "Tea served"]);
  });

  it("has one extent and one status for a hop", () => {
    const journal = new Journal().write("RunAccepted", 0).hop("code", 1, 1);
    const part = timelineOf(journal.events).lives[0]?.items.find(isHopPart);
    if (!part) throw new Error("no hop");
    const { start, end } = extentOf(part);
    expect([seconds(start), seconds(end), statusOf(part)]).toEqual([0.98, 2, "done"]);
  });
});

describe("any journal", () => {
  const recorded: [string, unknown[]][] = [
    ["crash", crash.events],
    ["approved", approved.events],
    ["rejected", rejected.events],
    ["asked", asked.events],
    ["long", longJournal(200)],
  ];

  it.each(recorded)("%s gives the same picture in whatever order it arrives", (_, events) => {
    const expected = picture(timelineOf(events));
    for (let seed = 1; seed <= 10; seed += 1) {
      const model = new RunModel();
      for (const event of shuffled([...events, ...events], seed)) model.add([event]);
      expect(picture(model.timeline)).toEqual(expected);
    }
  });

  it.each(recorded)("%s never throws with events, fields and times taken out or turned into garbage", (_, events) => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const random = randomOf(seed);
      const model = new RunModel();
      model.add(events.filter(() => random() > 0.3).map((event) => garbled(event, random)));
      model.graph.view(null);
      model.messages.view([garbled({ message: { message_id: "x" } }, random)]);
      for (const row of rowsOf(model.timeline, () => true)) if (row.kind === "hop") statusOf(row.part);
      for (const span of model.timeline.spans.values()) {
        expect(span.start).not.toBeNaN();
        expect(span.end === null || span.end >= span.start).toBe(true);
      }
    }
  });

  it("takes what is no event at all", () => {
    const model = new RunModel();
    model.add([null, 7, "x", [], {}, { sequence: "nine" }, { sequence: -1 }, { sequence: 1, data: [1], time: "noon" }]);
    expect(model.log.events).toHaveLength(1);
  });

  it("grows by one event without a look at those before", () => {
    const model = new RunModel();
    model.add(longJournal(500));
    const before = [...model.timeline.spans.values()];
    const frozen = before
      .filter((span) => span.end !== null && span.kind !== "message")
      .map((span) => Object.freeze(span));
    model.add([{ sequence: 501, type: "StepStarted", step: "code", hop_index: 999, data: {} }]);
    expect(frozen.length).toBeGreaterThan(200);
    expect(model.timeline.spans.size).toBe(before.length + 1);
  });
});

function picture(timeline: Timeline): unknown {
  return JSON.parse(JSON.stringify([timeline.lives, timeline.pending, timeline.ended, timeline.start, timeline.end]));
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

function shuffled<T>(items: T[], seed: number): T[] {
  const random = randomOf(seed);
  return items
    .map((item) => ({ item, key: random() }))
    .sort((one, other) => one.key - other.key)
    .map(({ item }) => item);
}

const GARBAGE = [null, "", "x", -1, 1e30, true, [], {}, [null, 1], { a: [] }, "<img src=x onerror=alert(1)>"];

function garbled(value: unknown, random: () => number): unknown {
  if (random() < 0.08) return GARBAGE[Math.floor(random() * GARBAGE.length)];
  if (Array.isArray(value)) return value.map((each) => garbled(each, random));
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(() => random() > 0.08);
  return Object.fromEntries(kept.map(([key, each]) => [key, key === "sequence" ? each : garbled(each, random)]));
}
