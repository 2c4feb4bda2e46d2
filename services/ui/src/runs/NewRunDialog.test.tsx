import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { aRun } from "../../test/samples";
import { CONFIG, renderWithApp } from "../../test/withApp";
import { tokenStore } from "../auth/tokenStore";
import { dismissals } from "../pending/dismissals";
import { NewRun } from "./NewRun";
import { NewRunDialog } from "./NewRunDialog";

const WORKFLOWS = [
  { workflow: "away", reachable: false, agents: [] },
  { workflow: "review", reachable: true, agents: ["a"] },
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

const again = <NewRun open like="r1" onClose={() => undefined} workflows={WORKFLOWS} />;

it("is filled in as an earlier run was, which needs no attention once another is started for it", async () => {
  const { calls } = await renderWithApp(again, {
    "GET config": () => CONFIG,
    "GET runs/r1": () => ({
      run: aRun({ run_id: "r1", prompt: "Merge", workflow: "review" }),
      graph: null,
      agent: "a",
    }),
    "POST runs": () => ({ run: aRun({ run_id: "r9" }), agent: "review", existing: false }),
  });
  expect(await screen.findByLabelText("Prompt")).toHaveValue("Merge");
  expect(screen.getByLabelText("Workflow")).toHaveValue("review");
  expect(dismissals.get().has("r1")).toBe(false);
  await waitFor(() => expect(screen.getByRole("button", { name: "Start run" })).not.toHaveAttribute("aria-disabled"));
  await userEvent.click(screen.getByRole("button", { name: "Start run" }));
  await waitFor(() => expect(dismissals.get().has("r1")).toBe(true));
  const sent = calls.find((call) => call.method === "POST")?.body as Record<string, string>;
  expect(sent).toMatchObject({ workflow: "review", prompt: "Merge" });
  expect(sent.correlation_id).not.toBe(aRun().correlation_id);
});

it("takes the workflow of the agent that had the earlier run where several namespaces have its name", async () => {
  const { calls } = await renderWithApp(
    <NewRun
      open
      like="r1"
      onClose={() => undefined}
      workflows={[
        { workflow: "blue/flow", reachable: true, agents: ["blue.flow-0"] },
        { workflow: "red/flow", reachable: true, agents: ["red.flow-0"] },
      ]}
    />,
    {
      "GET config": () => CONFIG,
      "GET runs/r1": () => ({ run: aRun({ run_id: "r1", workflow: "flow" }), graph: null, agent: "red.flow-0" }),
      "POST runs": () => ({ run: aRun({ run_id: "r9" }), agent: "red.flow-0", existing: false }),
    },
  );
  expect(await screen.findByLabelText("Workflow")).toHaveValue("red/flow");
  await waitFor(() => expect(screen.getByRole("button", { name: "Start run" })).not.toHaveAttribute("aria-disabled"));
  await userEvent.click(screen.getByRole("button", { name: "Start run" }));
  await waitFor(() =>
    expect(calls.find((call) => call.method === "POST")?.body).toMatchObject({ workflow: "red/flow" }),
  );
});

it("says that the earlier run is not there, and can be filled in by hand", async () => {
  await renderWithApp(again, {
    "GET config": () => CONFIG,
    "GET runs/r1": () => Response.json({ error: { code: "", message: "there is no run r1" } }, { status: 404 }),
  });
  expect(await screen.findByRole("alert")).toHaveTextContent("there is no run r1");
  expect(screen.getByLabelText("Prompt")).toHaveValue("");
});
