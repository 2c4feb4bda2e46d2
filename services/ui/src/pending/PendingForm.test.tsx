import { configure, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { aRun } from "../../test/samples";
import { CONFIG, renderWithApp } from "../../test/withApp";
import type { PendingInput } from "../api/types";
import { PendingForm } from "./PendingForm";

// Rendering in jsdom takes its time on a machine that is busy.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 20_000 });

afterEach(() => {
  vi.unstubAllGlobals();
});

const APPROVAL: PendingInput = {
  approval: { approval_id: "a1", step: "review", text: "Approve step review?" },
  question: null,
  expire_time: null,
};
const QUESTION: PendingInput = {
  approval: null,
  question: { question_id: "q1", text: "Which one?", options: ["docs", "smollm2"] },
  expire_time: null,
};

/** Shows the form with a gateway that lets everybody write; returns what is sent to it to change something. */
async function show(pending: PendingInput, answers: Record<string, () => unknown>) {
  const { calls } = await renderWithApp(<PendingForm runId="r1" pending={pending} />, {
    "GET config": () => CONFIG,
    ...answers,
  });
  return () => calls.filter((call) => call.method === "POST").map((call) => [call.path, call.body]);
}

/** Presses a button that changes something, as soon as this page knows that it may. */
async function press(name: string) {
  const button = await screen.findByRole("button", { name });
  await waitFor(() => expect(button).not.toHaveAttribute("aria-disabled"));
  await userEvent.click(screen.getByRole("button", { name }));
}

function refusal(status: number, message: string): () => Response {
  return () => Response.json({ error: { code: "", message } }, { status });
}

it("approves with a comment, once", async () => {
  const sent = await show(APPROVAL, { "POST runs/r1/approval": () => ({ run: aRun() }) });
  await userEvent.type(screen.getByLabelText(/Comment/), "go on");
  await press("Approve");
  expect(await screen.findByRole("status")).toHaveTextContent("You approved");
  expect(screen.queryByRole("button", { name: "Approve" })).not.toBeInTheDocument();
  expect(sent()).toEqual([["runs/r1/approval", { approval_id: "a1", approve: true, comment: "go on" }]]);
});

it("says calmly that somebody else was quicker", async () => {
  await show(APPROVAL, { "POST runs/r1/approval": refusal(409, "was answered before, and differently") });
  await press("Reject");
  expect(await screen.findByText(/Somebody else answered meanwhile/)).toBeInTheDocument();
  expect(screen.queryByRole("alert")).not.toBeInTheDocument();
});

it("stays when the agent is away, and says why", async () => {
  await show(APPROVAL, { "POST runs/r1/approval": refusal(503, "the agent review does not answer") });
  await press("Approve");
  expect(await screen.findByRole("alert")).toHaveTextContent("the agent review does not answer");
  expect(screen.getByRole("button", { name: "Approve" })).toBeEnabled();
});

it("takes an offered answer into the field, to be changed before it is sent", async () => {
  const sent = await show(QUESTION, { "POST runs/r1/answer": () => ({ run: aRun() }) });
  await userEvent.click(screen.getByRole("button", { name: "docs" }));
  expect(screen.getByLabelText("Answer")).toHaveValue("docs");
  await userEvent.type(screen.getByLabelText("Answer"), ", please");
  await press("Answer");
  expect(await screen.findByRole("status")).toHaveTextContent("You answered");
  expect(sent()).toEqual([["runs/r1/answer", { question_id: "q1", answer: "docs, please" }]]);
});

it("says that it does not know what a newer agent waits for", async () => {
  await show({ ...QUESTION, question: null }, {});
  expect(screen.getByText(/does not know/)).toBeInTheDocument();
});
