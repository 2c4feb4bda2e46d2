import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { aRun } from "../../test/samples";
import { CONFIG, renderWithApp } from "../../test/withApp";
import { tokenStore } from "../auth/tokenStore";
import { NewRunDialog } from "./NewRunDialog";

const WORKFLOWS = [
  { workflow: "away", reachable: false },
  { workflow: "review", reachable: true },
];

beforeEach(() => {
  tokenStore.forget();
  tokenStore.close();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const dialog = <NewRunDialog open onClose={() => undefined} workflows={WORKFLOWS} />;

it("sends the same correlation id when a try is repeated, and another for a changed prompt", async () => {
  let tries = 0;
  const { calls, router } = await renderWithApp(dialog, {
    "GET config": () => CONFIG,
    "POST runs": () => {
      tries += 1;
      if (tries < 3) return new Response("", { status: 503 });
      return { run: aRun({ run_id: "r9" }), agent: "review", existing: false };
    },
  });
  const user = userEvent.setup();
  const prompt = screen.getByLabelText("Prompt");
  await user.click(prompt);
  await user.paste("Merge");
  await user.keyboard("{Control>}{Enter}{/Control}");
  await screen.findByRole("alert");
  await user.click(await screen.findByRole("button", { name: "Start run" }));
  await waitFor(() => expect(tries).toBe(2));
  await screen.findByRole("button", { name: "Start run" });
  await user.click(prompt);
  await user.paste("!");
  await user.click(await screen.findByRole("button", { name: "Start run" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/runs/r9"));
  const sent = calls.filter((call) => call.method === "POST").map((call) => call.body as Record<string, string>);
  expect(sent.map((body) => body.prompt)).toEqual(["Merge", "Merge", "Merge!"]);
  expect(sent[0]?.correlation_id).toBe(sent[1]?.correlation_id);
  expect(sent[2]?.correlation_id).not.toBe(sent[0]?.correlation_id);
  expect(sent[0]?.workflow).toBe("review");
});

it("does not send what is empty or too long, and says how long it is", async () => {
  const { calls } = await renderWithApp(dialog, { "GET config": () => CONFIG });
  const user = userEvent.setup();
  const prompt = screen.getByLabelText("Prompt");
  expect(screen.getByRole("button", { name: "Start run" })).toBeDisabled();
  await user.click(prompt);
  await user.paste("é".repeat(32_769));
  expect(screen.getByText(/65,538 of 65,536 bytes: 2 too many/)).toBeInTheDocument();
  await user.keyboard("{Control>}{Enter}{/Control}");
  expect(calls.filter((call) => call.method === "POST")).toEqual([]);
});

it("asks for a token instead of sending when nothing may be changed", async () => {
  const { calls } = await renderWithApp(dialog, {
    "GET config": () => ({ ...CONFIG, writable: false, token_required: true }),
  });
  const user = userEvent.setup();
  await user.click(screen.getByLabelText("Prompt"));
  await user.paste("Merge");
  await waitFor(() =>
    expect(screen.getByRole("button", { name: "Start run" })).toHaveAttribute(
      "aria-description",
      expect.stringContaining("enter a token"),
    ),
  );
  await user.click(screen.getByRole("button", { name: "Start run" }));
  expect(tokenStore.get().asking).toContain("Read-only");
  expect(calls.filter((call) => call.method === "POST")).toEqual([]);
});
