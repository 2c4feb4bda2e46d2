import { expect, test } from "./fixtures";
import { markPage, openRun, shownSequences, status } from "./pages";

test("UI-2, DUR-3: an agent that is killed while its run is watched comes back in the same page, and the run completes", async ({
  page,
  world,
  api,
}) => {
  test.setTimeout(150_000);
  const { run_id } = await api.start("press", "A text that survives gate=coder/1/crash");
  await openRun(page, run_id);
  const same = await markPage(page);
  await expect(page.getByRole("treegrid").getByText("draft").first()).toBeVisible();
  await world.kill("press");
  await expect(page.getByText("resumed after a crash")).toBeVisible({ timeout: 60_000 });
  world.openGate("crash");
  await expect(page.getByText("Your approval is needed")).toBeVisible({ timeout: 60_000 });
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await expect(status(page)).toContainText("Completed");
  await same();
  await page.getByRole("link", { name: "Events" }).click();
  const journal = await world.journal(run_id);
  expect(journal.filter((event) => event.type === "RunResumed")).toHaveLength(1);
  expect(await shownSequences(page)).toEqual(journal.map((event) => event.sequence));
});

test("UI-2: a process that dies while its run waits for a person leaves a mark, also in a page that is opened later", async ({
  page,
  world,
  api,
}) => {
  const { run_id } = await api.start("press", "Waits through a crash");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await openRun(page, run_id);
  await expect(page.getByText("Your approval is needed")).toBeVisible();
  await world.kill("press");
  const lane = page.getByRole("treegrid").getByText("begun after a crash");
  await expect(lane).toBeVisible({ timeout: 60_000 });
  await page.reload();
  await expect(lane).toBeVisible({ timeout: 60_000 });
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await expect(status(page)).toContainText("Completed");
  await page.reload();
  await expect(lane).toBeVisible();
});

test("UI-2: a page whose agent is away says so, keeps what it knows, and goes on when it is back", async ({
  page,
  world,
  api,
}) => {
  const { run_id } = await api.start("press", "Waits for a person");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await openRun(page, run_id);
  await expect(page.getByText("Your approval is needed")).toBeVisible();
  const same = await markPage(page);
  await world.pause("press", async () => {
    await expect(page.getByText("The agent press does not answer.")).toBeVisible({ timeout: 40_000 });
    await expect(page.getByText("Waits for a person").first()).toBeVisible();
  });
  await expect(page.getByText("The agent press does not answer.")).toBeHidden({ timeout: 40_000 });
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await expect(status(page)).not.toContainText("Waiting");
  await same();
});
