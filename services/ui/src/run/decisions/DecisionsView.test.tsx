import { render, screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { aRun } from "../../../test/samples";
import { RunModel } from "../model/runModel";
import { Journal } from "../model/sample";
import { RunContext } from "../runContext";
import { DecisionsView } from "./DecisionsView";

const SERVICES = [
  { service: "writer", capability: "drafting", confidence: 0.7 },
  { service: "editor", capability: "drafting", confidence: 0.2 },
];

/** The card of one decision; `told` and `decided` are the data of its two events. */
function card(told: Record<string, unknown>, decided: Record<string, unknown> | null = null) {
  const model = new RunModel();
  const journal = new Journal().write(
    "Recommended",
    0,
    { services: SERVICES, none_probability: 0.1, ...told },
    "draft",
    1,
  );
  if (decided) journal.write("Decided", 1, decided, "draft", 1);
  model.add(journal.events);
  const run = aRun();
  const view = { runId: run.run_id, run, graph: null, agent: "press", reachable: true, model, complete: true };
  render(
    <RunContext value={view}>
      <DecisionsView />
    </RunContext>,
  );
  return within(screen.getByRole("article"));
}

describe("the router's side", () => {
  it.each([
    ["language_model", "Ranked by the language model."],
    ["embedding", "Ranked by the meaning of the words (embedding)."],
    ["keywords", "Ranked by keywords."],
    ["quantum", "Ranked by its path “quantum”."],
    ["toString", "Ranked by its path “toString”."],
  ])("says how it ranked: %s", (path, words) => {
    expect(card({ path }).getByText(words)).toBeVisible();
  });

  it("says why it fell back, and nothing when it did not", () => {
    const reason = "language_model: the model was not there after 2 s";
    expect(card({ path: "embedding", fallback_reason: reason }).getByText(`It fell back: ${reason}`)).toBeVisible();
  });

  it.each([null, undefined, ""])("says nothing of a fallback that there was not (%s)", (reason) => {
    expect(card({ path: "embedding", fallback_reason: reason }).queryByText(/fell back/)).toBeNull();
  });

  it("bears a journal that is older than paths", () => {
    expect(card({}).queryByText(/Ranked/)).toBeNull();
  });
});

describe("the arbitrator's side", () => {
  it("shows what was weighed, the likeliest first, beside why it overruled", () => {
    const choices = [
      { choice: "invoke:writer", probability: 0.25, prior: 0.7, log_probability: -3, evidence: -2 },
      { choice: "invoke:editor", probability: 0.75, prior: 0.2, log_probability: -0.1, evidence: 0 },
    ];
    const reason = "The reviewer asked for another hand.";
    const shown = card({}, { action: "invoke", service: "editor", agreed: false, reason, choices });
    expect(shown.getByText("Overruled")).toBeVisible();
    expect(shown.getByText(reason)).toBeVisible();
    const weighed = within(shown.getByRole("list", { name: "What was weighed" })).getAllByRole("listitem");
    expect(weighed.map((item) => item.textContent)).toEqual([
      "editorrouter 20 %, model most for it75 %",
      "writerrouter 70 %, model 7.4× less for it25 %",
    ]);
    expect(shown.getByRole("columnheader", { name: "Evidence of the model", hidden: true })).toBeInTheDocument();
  });

  it("shows the likelihood of the model in a journal that is older than its evidence", () => {
    const choices = [
      { choice: "invoke:editor", probability: 0.75, prior: 0.2, log_probability: -0.1 },
      { choice: "skip", probability: 0.25, prior: 0.8, log_probability: -3 },
    ];
    const shown = card({}, { action: "invoke", service: "editor", agreed: true, choices });
    expect(shown.getByText("router 20 %, model 90 %")).toBeVisible();
    expect(shown.getByRole("columnheader", { name: "Likelihood by the model", hidden: true })).toBeInTheDocument();
  });

  it("says where no model was asked", () => {
    const choice = { choice: "skip", probability: 0.6, prior: 0.6, log_probability: 0 };
    const two = card(
      {},
      { action: "skip", choices: [choice, { ...choice, choice: "invoke:writer", probability: 0.4 }] },
    );
    expect(two.getAllByText(/no model heard/)).toHaveLength(2);
  });

  it("lists nothing where there was one valid choice", () => {
    const choices = [{ choice: "invoke:writer", probability: 1, prior: 1, log_probability: 0 }];
    const shown = card({}, { action: "invoke", service: "writer", agreed: true, choices });
    expect(shown.queryByRole("list", { name: "What was weighed" })).toBeNull();
  });
});
