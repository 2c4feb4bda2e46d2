import { type Api, expect, test } from "./fixtures";
import { ATTENTION_RUN, connection, open } from "./pages";

interface Observability {
  mode: string;
  until: string | null;
}

test("UI-1, OBS-1: the mode is switched to debug for a while with a countdown, and back", async ({ page, api }) => {
  await open(page, "");
  const agent = page.getByRole("article", { name: "Agent asking" });
  await agent.getByRole("button", { name: "Switch…" }).click();
  await page.getByRole("dialog").getByLabel("Debug for 5 minutes").check();
  await page.getByRole("dialog").getByRole("button", { name: "Switch", exact: true }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
  await expect(agent).toContainText("Debug");
  await expect(agent).toContainText(/[45]:\d\d left|[45] min.* left|\d+ s left/);
  const now = (await api.get("agents/asking/observability")) as Observability;
  expect(now.mode).toBe("debug");
  const seconds = (Date.parse(now.until ?? "") - Date.now()) / 1000;
  expect(seconds).toBeGreaterThan(200);
  expect(seconds).toBeLessThan(301);
  await agent.getByRole("button", { name: "Switch…" }).click();
  await page.getByRole("dialog").getByLabel("Shipping").check();
  await page.getByRole("dialog").getByRole("button", { name: "Switch", exact: true }).click();
  await expect(agent).not.toContainText("left");
  expect(((await api.get("agents/asking/observability")) as Observability).mode).toBe("shipping");
});

test("UI-1: the overview tells the services, what they use, the durability, and what waits for a person", async ({
  page,
  api,
}) => {
  const prompt = `overview-${Date.now()}`;
  const { run_id } = await api.start("press", prompt);
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await open(page, "");
  const services = page.getByRole("table", { name: /^Services/ });
  for (const name of ["smollm2", "docs", "writer"]) {
    const row = services.getByRole("row", { name: new RegExp(`^${name}`) });
    await expect(row).toContainText("Ready");
  }
  await expect(services.getByRole("row", { name: /^smollm2/ })).toContainText(/\d+(\.\d+)? MiB/);
  await expect(page.getByRole("article", { name: "Agent press" })).toContainText("Durability");
  await page
    .getByRole("link", { name: new RegExp(prompt) })
    .first()
    .click();
  await expect(page).toHaveURL(new RegExp(run_id));
});

test("UI-1: a run that was given up is listed until it is started again or dismissed, and stays among the runs", async ({
  page,
}) => {
  await open(page, "");
  const item = page.getByRole("listitem").filter({ hasText: "Ask a service that kills." });
  await expect(item).toContainText("died three times in the step choose");
  await item.getByRole("link", { name: "Start again…" }).click();
  const form = page.getByRole("dialog", { name: "New run" });
  await expect(form.getByLabel("Prompt")).toHaveValue("Ask a service that kills.");
  await expect(form.getByLabel("Workflow")).toHaveValue("asking");
  await page.keyboard.press("Escape");
  await open(page, "");
  await item.getByRole("button", { name: "Dismiss" }).click();
  await expect(item).toBeHidden();
  await page.reload();
  await expect(connection(page)).toHaveText("Live");
  await expect(page.getByRole("heading", { name: "Waits for a person" })).toBeVisible();
  await expect(item).toBeHidden();
  await open(page, "runs?outcome=NeedsAttention");
  await page.getByRole("link", { name: /Ask a service that kills/ }).click();
  await expect(page).toHaveURL(new RegExp(ATTENTION_RUN));
  await page.getByRole("link", { name: "Start again…" }).click();
  await form.getByRole("button", { name: "Start run" }).click();
  await expect(page.getByText("The run asks a question")).toBeVisible();
});

test("UI-1: a step is approved on the overview, with the form of the run's own page", async ({ page, api }) => {
  await cancelWaiting(api); // what other tests left waiting: only those that wait longest are shown
  const { run_id } = await api.start("press", `Approved from afar ${Date.now()}`);
  const { prompt } = await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await open(page, "");
  const item = page.getByRole("listitem").filter({ hasText: prompt });
  await item.getByLabel("Comment (optional)").fill("seen on the overview");
  await item.getByRole("button", { name: "Approve", exact: true }).click();
  await expect(item).toBeHidden();
  const run = await api.untilRun(run_id, "ended", (one) => one.state === "ended");
  expect(run.outcome).toBe("Completed");
});

test("UI-1: a backup is made, told as verified, downloaded, and is the agent's file of runs", async ({ page, api }) => {
  await open(page, "backups");
  const card = page.locator(".card").filter({ has: page.getByRole("heading", { name: "asking" }) });
  await card.getByRole("button", { name: "Back up now" }).click();
  const row = card.getByRole("row").filter({ hasText: "Verified" }).first();
  await expect(row).toBeVisible();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    row.getByRole("button", { name: /^Download/ }).click(),
  ]);
  const stream = await download.createReadStream();
  const first: Buffer = await new Promise((resolve) => stream.once("data", resolve));
  stream.destroy();
  expect(first.subarray(0, 15).toString()).toBe("SQLite format 3");
  const { agents } = (await api.get("backups")) as { agents: { agent: string; backups: { damage: string }[] }[] };
  expect(agents.find((one) => one.agent === "asking")?.backups[0]?.damage).toBe("");
});

test("UI-1: messages of all runs are shown, opened, and lead to their run", async ({ page, api }) => {
  const { run_id } = await api.start("press", "Tell each other");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await open(page, "messages");
  const row = page.getByRole("row").filter({ hasText: run_id.slice(0, 8) });
  await expect(row).toContainText("reviewer");
  await expect(row).toContainText("coder");
  await row.getByRole("button", { name: /^All of the message/ }).click();
  await row.getByRole("link").click();
  await expect(page).toHaveURL(new RegExp(run_id));
});

async function cancelWaiting(api: Api): Promise<void> {
  const { runs } = (await api.get("runs?state=waiting&page_size=100")) as { runs: { run_id: string }[] };
  if (runs.length === 0) return;
  await api.send("POST", "runs/cancel", { run_ids: runs.map((run) => run.run_id), request_id: crypto.randomUUID() });
  for (const { run_id } of runs) await api.untilRun(run_id, "is cancelled", (run) => run.state === "ended");
}
