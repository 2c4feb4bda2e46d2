import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { expect, test } from "./fixtures";
import { openRun } from "./pages";
import { type JournalEvent, ROOT } from "./world";

const RUNS = 4;

test("SPD-6: how long an event takes from its commit to the screen", async ({ page, world, api }) => {
  test.setTimeout(180_000);
  const took: number[] = [];
  for (let number = 0; number < RUNS; number += 1) {
    const { run_id } = await api.start("press", `Measure me gate=coder/1/measure-${number}`);
    await openRun(page, run_id, "events");
    await expect(page.getByRole("button", { name: /StepStarted/ }).first()).toBeVisible();
    await page.evaluate(watchLines);
    world.openGate(`measure-${number}`);
    await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
    await expect(page.getByText("Your approval is needed")).toBeVisible();
    const seen = await page.evaluate(() => (window as unknown as { seen: Record<string, number> }).seen);
    const { events } = (await api.get(`runs/${run_id}/events?limit=500`)) as {
      events: (JournalEvent & { time: string })[];
    };
    for (const { sequence, time } of events) {
      const at = seen[sequence];
      if (at !== undefined) took.push(at - Date.parse(time));
    }
  }
  took.sort((one, other) => one - other);
  expect(took.length).toBeGreaterThan(RUNS * 5);
  const share = (part: number) => Math.round(took[Math.min(Math.floor(took.length * part), took.length - 1)] ?? 0);
  const report = { events: took.length, p50_ms: share(0.5), p95_ms: share(0.95), cores: cpus().length };
  console.log(`event to screen: ${JSON.stringify(report)}`);
  writeFileSync(join(ROOT, "artifacts/ui_latency.json"), `${JSON.stringify(report)}\n`);
});

/** Notes for each new line of the list of events when it was painted, in milliseconds since the epoch. */
function watchLines(): void {
  const page = window as unknown as { seen: Record<string, number> };
  page.seen = {};
  const old = new Set([...document.querySelectorAll(".event-sequence")].map((each) => each.textContent));
  new MutationObserver(() => {
    requestAnimationFrame(() => {
      for (const each of document.querySelectorAll(".event-sequence")) {
        const sequence = each.textContent ?? "";
        if (!old.has(sequence)) page.seen[sequence] ??= performance.timeOrigin + performance.now();
      }
    });
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}
