import { expect, test } from "./fixtures";
import { connection, markPage, open, openRun, shownSequences } from "./pages";
import { Wire } from "./wire";

const SLOW = "hold=coder/1/3 hold=reviewer/1/2 hold=coder/2/2";

test("UI-1: a stream that is cut again and again goes on without a gap and without a double", async ({
  page,
  world,
  api,
}) => {
  const wire = new Wire(Number(new URL(world.running.ui).port));
  await wire.start();
  const { run_id } = await api.start("press", `Cut me ${SLOW}`);
  await open(page, `http://127.0.0.1:${wire.port}/runs/${run_id}/events`);
  const same = await markPage(page);
  const first = wire.connections;
  for (let cuts = 0; cuts < 4; cuts += 1) {
    wire.cut();
    await expect(connection(page)).toHaveText("Live");
    await page.waitForTimeout(400);
  }
  wire.refuse();
  await expect(connection(page)).not.toHaveText("Live");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  wire.restore();
  await expect(connection(page)).toHaveText("Live", { timeout: 30_000 });
  await expect(page.getByText("Your approval is needed")).toBeVisible();
  expect(wire.connections).toBeGreaterThan(first + 4);
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await api.untilRun(run_id, "ended", (run) => run.state === "ended");
  const journal = await world.journal(run_id);
  await expect(async () => {
    expect(await shownSequences(page)).toEqual(journal.map((event) => event.sequence));
  }).toPass();
  await same();
  await wire.stop();
});

test("UI-1: a gateway that is killed and comes back loses nothing of what is watched", async ({ page, world, api }) => {
  const { run_id } = await api.start("press", `Restart the gateway ${SLOW}`);
  await openRun(page, run_id, "events");
  const same = await markPage(page);
  await world.kill("gateway");
  await world.waitReady("gateway");
  await expect(connection(page)).toHaveText("Live", { timeout: 30_000 });
  await expect(page.getByText("Your approval is needed")).toBeVisible();
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await api.untilRun(run_id, "ended", (run) => run.state === "ended");
  const journal = await world.journal(run_id);
  await expect(async () => {
    expect(await shownSequences(page)).toEqual(journal.map((event) => event.sequence));
  }).toPass();
  await same();
});
