import { expect, test } from "./fixtures";
import { connection, expectNoSidewaysScroll, ODD_RUN, open, openRun, status } from "./pages";

const VIEWS = ["timeline", "graph", "decisions", "answers", "messages", "events"];
const INJECTED = "data-injected";

test("a run that does not exist is told in words and leads to all runs", async ({ page }) => {
  for (const id of ["00000000-0000-4000-8000-000000000404", "not-an-id", "%3Cb%3E"]) {
    await open(page, `runs/${id}`);
    await expect(page.getByText("There is no run with this id")).toBeVisible();
    await page.getByRole("main").getByRole("link", { name: "All runs" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Runs");
  }
});

test("UI-2: markup in a prompt, a service, a message and a result is text in every view, and unknown events are shown", async ({
  page,
}) => {
  for (const view of VIEWS) {
    await openRun(page, ODD_RUN, view);
    await expect(status(page)).toContainText("Completed");
    await expect(page.locator("body")).not.toHaveAttribute(INJECTED);
    expect(await page.locator("main img, main script, main iframe").count()).toBe(0);
    await expectNoSidewaysScroll(page);
  }
  await page.getByRole("button", { name: /QuantumLeapt/ }).click();
  await expect(page.getByText('"depth"')).toBeVisible();
  await openRun(page, ODD_RUN);
  await page.getByRole("button", { name: "Full" }).click();
  await expect(page.getByRole("treegrid").getByText("Quantum leapt")).toBeVisible();
  await open(page, "messages");
  await expect(page.locator("body")).not.toHaveAttribute(INJECTED);
});

test("UI-2: an answer of 1 MB and a message of 64 KiB are cut, and shown whole when asked for", async ({ page }) => {
  await openRun(page, ODD_RUN, "answers");
  const whole = page.getByRole("button", { name: /^Show all \(1,\d\d\d,\d\d\d more characters\)$/ });
  await whole.click();
  await expect(whole).toBeHidden();
  const length = await page.evaluate(() => document.querySelector("main")?.textContent?.length ?? 0);
  expect(length).toBeGreaterThan(1_048_000);
  await openRun(page, ODD_RUN, "messages");
  await expect(page.getByText("A line of a message").first()).toBeVisible();
  await expectNoSidewaysScroll(page);
});

test("UI-2: a browser whose clock is an hour late shows the server's times", async ({ page, api }) => {
  await page.clock.install({ time: Date.now() - 3_600_000 });
  await page.clock.resume();
  const { run_id } = await api.start("press", "What time is it");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await openRun(page, run_id);
  const begun = page.locator(".run-fact").filter({ hasText: /^Begun/ });
  await expect(begun).toContainText(/now|\d+ s ago/);
  await expect(page.locator(".run-fact").filter({ hasText: /^Time left/ })).toContainText(/1[45]:\d\d/);
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await expect(status(page)).not.toContainText("Waiting");
});

test("a prompt that is too long is refused before it is sent", async ({ page }) => {
  await open(page, "runs?new=1");
  const form = page.getByRole("dialog", { name: "New run" });
  await form.getByLabel("Prompt").fill("é".repeat(40_000));
  await expect(form.getByText(/too many/)).toBeVisible();
  await expect(form.getByRole("button", { name: "Start run" })).toBeDisabled();
  await expect(connection(page)).toHaveText("Live");
});
