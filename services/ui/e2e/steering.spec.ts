import { expect, test } from "./fixtures";
import { openRun, status } from "./pages";

test("UI-1: a step is approved where the run is watched, and the loop is told in words", async ({ page, api }) => {
  const { run_id } = await api.start("press", "Approve me");
  await openRun(page, run_id);
  await expect(page.getByText("Your approval is needed")).toBeVisible();
  await expect(page.getByText("Review Cycle 2 of 2").first()).toBeVisible();
  await page.getByLabel("Comment (optional)").fill("reads well");
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await expect(status(page)).toContainText("Completed");
  const { events } = (await api.get(`runs/${run_id}/events?limit=500`)) as { events: { type: string; data: object }[] };
  const decided = events.find((event) => event.type === "ApprovalDecided");
  expect(decided?.data).toMatchObject({ approved: true, comment: "reads well" });
});

test("UI-1: a rejected step ends the run, with the best draft kept", async ({ page, api }) => {
  const { run_id } = await api.start("press", "Reject me");
  await openRun(page, run_id, "answers");
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await expect(page.getByText("Your approval is needed")).toBeHidden();
  const run = await api.untilRun(run_id, "ended", (one) => one.state === "ended");
  await expect(page.getByRole("heading", { name: "Result" })).toBeVisible();
  expect(run.result).toContain("Reject me");
});

test("UI-1: a question is answered where it is asked", async ({ page, api }) => {
  const { run_id } = await api.start("asking", "Do something");
  await openRun(page, run_id);
  await expect(page.getByText("The run asks a question")).toBeVisible();
  await page.getByLabel("Answer").fill("The editor, please");
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await expect(page.getByText("The run asks a question")).toBeHidden();
  await expect(status(page)).toContainText("Completed");
});

test("UI-1: a run is paused, told something, resumed and cancelled from its page", async ({ page, world, api }) => {
  const { run_id } = await api.start("press", "Hold me gate=coder/1/steer");
  await openRun(page, run_id, "messages");
  await page.getByRole("button", { name: "Pause" }).click();
  world.openGate("steer");
  await expect(status(page)).toContainText("Paused");
  await page.getByRole("button", { name: "Message" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("To").selectOption("reviewer");
  await dialog.getByLabel("Text").fill("Mind the commas.");
  await dialog.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("main").getByText("Mind the commas.")).toBeVisible();
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(status(page)).not.toContainText("Paused");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await dialog.getByRole("button", { name: "Cancel the run" }).click();
  await expect(status(page)).toContainText("Cancelled");
});
