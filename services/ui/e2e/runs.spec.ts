import { readFileSync } from "node:fs";
import { expect, test } from "./fixtures";
import { open, openRun, status } from "./pages";

test("UI-1: a run of real models is started from the form and watched to its end", async ({ page, api }) => {
  await open(page, "runs");
  await page.getByRole("button", { name: "New run" }).click();
  const form = page.getByRole("dialog", { name: "New run" });
  await form.getByLabel("Workflow").selectOption("review-loop");
  await form.getByLabel("Prompt").fill("What does our handbook say about names? Write a function.");
  await form.getByRole("button", { name: "Start run" }).click();
  await expect(page).toHaveURL(/\/runs\/[0-9a-f-]{36}/);
  await expect(status(page)).toContainText(/Completed|Review limit reached/, { timeout: 55_000 });
  await page.getByRole("link", { name: "Decisions" }).click();
  await expect(page.getByRole("article").first()).toContainText("Router recommends");
  await expect(page.getByRole("article").first()).toContainText(/Agreed|Overruled|skipped/);
  await page.getByRole("link", { name: "Answers" }).click();
  await expect(page.getByRole("heading", { name: "Result" })).toBeVisible();
  await page.getByRole("link", { name: "Graph" }).click();
  await expect(page.getByRole("region", { name: "Steps" })).toContainText("review");
  const runId = page.url().match(/runs\/([0-9a-f-]{36})/)?.[1] ?? "";
  expect((await api.run(runId)).state).toBe("ended");
});

test("UI-1: runs are found by text and state, the filter is in the address, and several are cancelled at once", async ({
  page,
  api,
}) => {
  const word = `bulk-${Date.now()}`;
  const started = await Promise.all([1, 2, 3].map((number) => api.start("asking", `${word} number ${number}`)));
  await open(page, `runs?q=${word}`);
  const rows = page.getByRole("grid", { name: "Runs" }).getByRole("row").filter({ hasText: word });
  await expect(rows).toHaveCount(3);
  await page.getByLabel("State").selectOption({ label: "Waiting" });
  await expect(page).toHaveURL(/state=waiting/);
  await expect(rows).toHaveCount(3);
  for (const number of [1, 2]) await page.getByLabel(`Select ${word} number ${number}`).check();
  await page.getByRole("region", { name: "Selection" }).getByRole("button", { name: "Cancel…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel 2 runs" }).click();
  await expect(page.getByRole("dialog")).toContainText("2 runs cancelled");
  await page.getByRole("button", { name: "Done" }).click();
  await expect(rows).toHaveCount(1);
  const ends = await Promise.all(started.map(async ({ run_id }) => (await api.run(run_id)).outcome));
  expect(ends).toEqual(["Cancelled", "Cancelled", ""]);
  await rows.getByRole("link").click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText(`${word} number 3`);
  await page.goBack();
  await expect(page).toHaveURL(new RegExp(`q=${word}.*state=waiting`));
  await expect(rows).toHaveCount(1);
});

test("UI-2: from the list of runs to the detail of a span by keys alone", async ({ page, api }) => {
  const prompt = `keys-${Date.now()}`;
  const { run_id } = await api.start("press", prompt);
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await open(page, `runs?q=${prompt}`);
  await expect(page.getByRole("grid", { name: "Runs" }).getByText(prompt)).toBeVisible();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(new RegExp(run_id));
  const timeline = page.getByRole("treegrid");
  await expect(timeline.getByRole("row").first()).toBeVisible();
  await timeline.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const detail = page.getByRole("complementary", { name: "Detail" });
  await expect(detail).toBeVisible();
  await expect(page).toHaveURL(/span=/);
  await page.reload();
  await expect(detail).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(detail).toBeHidden();
  for (const [key, view] of ["graph", "decisions", "answers", "messages", "events"].entries()) {
    await page.keyboard.press(String(key + 2));
    await expect(page).toHaveURL(new RegExp(`/${view}`));
  }
});

test("UI-1: a run is exported as one JSON file that holds its whole journal", async ({ page, api, world }) => {
  const { run_id } = await api.start("press", "Export me");
  await openRun(page, run_id);
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await expect(status(page)).toContainText("Completed");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Export" }).click(),
  ]);
  const file = JSON.parse(readFileSync(await download.path(), "utf8"));
  expect(file).toMatchObject({ format: "milepost.run/v1", agent: "press", run: { run_id, outcome: "Completed" } });
  const sequences = file.events.map((event: { sequence: number }) => event.sequence);
  expect(sequences).toEqual((await world.journal(run_id)).map((event) => event.sequence));
});
