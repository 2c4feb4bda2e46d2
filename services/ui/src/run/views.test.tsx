import { QueryClientProvider } from "@tanstack/react-query";
import { configure, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { aRun } from "../../test/samples";
import type { ListedRun } from "../api/types";
import { newQueryClient } from "../app/queryClient";
import { AnswersView } from "./answers/AnswersView";
import { DecisionsView } from "./decisions/DecisionsView";
import { effectiveRun } from "./effectiveRun";
import { recoveriesText } from "./header/recoveries";
import { RunMessagesView } from "./messages/RunMessagesView";
import asked from "./model/fixtures/asked.json";
import crash from "./model/fixtures/crash.json";
import { RunModel } from "./model/runModel";
import { Journal } from "./model/sample";
import { TimeScale } from "./model/scale";
import { RunContext } from "./runContext";
import { readSearch } from "./search";
import { barOf, pan, WHOLE, zoom } from "./timeline/chart";
import { TimelineTable } from "./timeline/TimelineTable";

const HTML = "<img src=x onerror=alert(1)><script>alert(2)</script>";

// Rendering in jsdom takes its time on a machine that is busy.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 20_000 });

afterEach(() => {
  vi.unstubAllGlobals();
});

function show(view: ReactNode, events: readonly unknown[] = [], fields: Partial<ListedRun> = {}) {
  const model = new RunModel();
  model.add(events);
  const run = aRun(fields);
  const shown = { runId: run.run_id, run, graph: null, agent: "review", reachable: true, model, complete: true };
  return render(
    <QueryClientProvider client={newQueryClient()}>
      <RunContext value={shown}>{view}</RunContext>
    </QueryClientProvider>,
  );
}

/** A gateway with the same answer for every request. */
function gateway(body: unknown): void {
  vi.stubGlobal("fetch", async () => Response.json(body));
}

describe("text from outside", () => {
  it("is shown as text by every view, and never becomes a part of the page", async () => {
    gateway({ messages: [], next_page_token: "" });
    const step = { service: HTML, role: HTML, output: HTML, verdict: HTML, citations: [{ source: HTML, quote: HTML }] };
    const services = [{ service: HTML, capability: HTML, confidence: 1 }];
    const events = new Journal()
      .write("Recommended", 0, { services, reasoning: HTML, none_probability: 0 }, HTML, 1)
      .write("Decided", 1, { action: "invoke", service: HTML, reason: HTML, choices: [{ choice: HTML }] }, HTML, 1)
      .write("StepStarted", 1, { service: HTML }, HTML, 1)
      .write("StepCompleted", 2, { ...step, tool_calls: [{ name: HTML, error: HTML }] }, HTML, 1)
      .write("MessageRefused", 3, { sender_role: HTML, recipient_role: HTML, reason: HTML }, HTML, 1)
      .write(HTML, 4, { reason: HTML }).events;
    const views = (
      <>
        <AnswersView />
        <DecisionsView />
        <RunMessagesView />
        <TimelineTable onOpen={() => undefined} />
      </>
    );
    const { container } = show(views, events, { result: HTML });
    expect(container.querySelector("img, script")).toBeNull();
    expect(screen.getAllByText((text) => text.includes("<img src=x")).length).toBeGreaterThan(8);
  });

  it("of a megabyte is cut, and shown whole on demand", async () => {
    const text = "x".repeat(1_000_000);
    const events = new Journal().write("StepCompleted", 1, { output: text }, "code", 1).events;
    const { container } = show(<AnswersView />, events);
    expect(container.textContent?.length).toBeLessThan(10_000);
    fireEvent.click(screen.getByRole("button", { name: /Show all/ }));
    expect(container.textContent?.length).toBeGreaterThan(1_000_000);
  });
});

describe("views of a recorded run", () => {
  it("tell in the table what the crash cut off and what the next process did", () => {
    show(<TimelineTable onOpen={() => undefined} />, crash.events);
    const rows = screen.getAllByRole("row").filter((row) => within(row).queryByText(/Attempt: smollm2/));
    const reviews = rows.filter((row) => row.textContent?.includes("review"));
    expect(reviews.map((row) => row.textContent?.includes("lost in a crash"))).toEqual([true, false]);
  });

  it("put each decision beside its recommendation", () => {
    show(<DecisionsView />, asked.events);
    const cards = screen.getAllByRole("article");
    expect(cards.map((card) => within(card).getByText(/Agreed|Asked|skipped|Overruled/).textContent)).toEqual([
      "Asked the user",
      "Agreed",
      "Agreed",
      "Step skipped",
    ]);
  });

  it("show what a revised answer changed", () => {
    const journal = new Journal().hop("code", 1, 0, { output: "a small cat", cycle: 1 });
    journal.hop("code", 2, 5, { output: "a big cat", cycle: 2 });
    const { container } = show(<AnswersView />, journal.events);
    expect(container.querySelector("del")).toHaveTextContent("small");
    expect(container.querySelector("ins")).toHaveTextContent("big");
  });
});

describe("the run as it is now", () => {
  const waiting = aRun({ state: "waiting", run_id: "run", last_sequence: 3 });

  it("works again as soon as its step begins, although its row still waits", () => {
    const model = new RunModel();
    const journal = new Journal().write("ApprovalRequested", 0, { approval_id: "a" }, "code", 1);
    model.add(journal.events);
    expect(effectiveRun(waiting, model).state).toBe("waiting");
    model.add(journal.write("StepStarted", 1, { service: "alpha" }, "code", 1).events);
    expect(effectiveRun(waiting, model)).toMatchObject({ state: "running", pending_input: null });
  });

  it("has ended as soon as the journal says so", () => {
    const model = new RunModel();
    model.add([{ sequence: 9, run_id: "run", type: "RunCompleted", data: { outcome: "Failed", reason: "x" } }]);
    expect(effectiveRun(waiting, model)).toMatchObject({ state: "ended", outcome: "Failed", reason: "x" });
  });
});

describe("small things", () => {
  it.each([
    [0, [], ""],
    [1, ["crash"], "Resumed once after a crash"],
    [2, ["crash", "crash"], "Resumed twice after a crash"],
    [3, ["crash", "restart", "crash"], "Resumed 3 times after a crash, a restart"],
    [1, [], "Resumed once"],
  ])("%i recoveries by %j: %s", (count, causes, expected) => {
    expect(recoveriesText(count, causes)).toBe(expected);
  });

  it.each([
    [{}, {}],
    [
      { span: "attempt-3", full: "true", table: "no" },
      { span: "attempt-3", full: true },
    ],
    [{ span: 7, type: "" }, {}],
    [{ type: "x".repeat(999) }, { type: "x".repeat(256) }],
  ])("reads %j from the address", (fields, expected) => {
    expect(JSON.parse(JSON.stringify(readSearch(fields)))).toEqual(expected);
  });

  it("zooms about a place and never out of the run", () => {
    expect(zoom(WHOLE, 0.5, 0)).toEqual({ from: 0, to: 0.5 });
    expect(zoom(WHOLE, 0.5, 1)).toEqual({ from: 0.5, to: 1 });
    expect(zoom({ from: 0.2, to: 0.4 }, 100)).toEqual(WHOLE);
    const moved = pan({ from: 0.25, to: 0.5 }, 9);
    expect([moved.from, moved.to]).toEqual([0.75, 1]);
  });

  it("draws only what is in sight, cut at the edges", () => {
    const chart = { scale: new TimeScale(0, 100), from: 0.25, to: 0.75 };
    expect(barOf(chart, 50, 60)).toEqual({ left: 50, width: 20 });
    expect(barOf(chart, 0, 100)).toEqual({ left: -1, width: 102 });
    expect(barOf(chart, 0, 20)).toBeNull();
    expect(barOf(chart, 80, 90)).toBeNull();
  });
});
