import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "./fixtures";
import { LONG_RUN, openRun, sequencesInSight } from "./pages";
import { ROOT } from "./world";

interface Frames {
  count: number;
  p50_ms: number;
  p95_ms: number;
  longest_ms: number;
}

test("UI-2: a run of 5,100 spans opens, scrolls, zooms and is read to its end", async ({ page, world }) => {
  test.setTimeout(120_000);
  const started = Date.now();
  await openRun(page, LONG_RUN);
  const rows = page.getByRole("treegrid").getByRole("row");
  await expect(rows.first()).toBeVisible();
  const opened = Date.now() - started;
  expect(await rows.count()).toBeLessThan(200);
  await expect(page.getByRole("treegrid")).toHaveAttribute("aria-rowcount", /^1[78]\d\d$/);
  await page.getByRole("button", { name: "Full" }).click();
  await expect(page.getByRole("treegrid")).toHaveAttribute("aria-rowcount", /^[56789]\d\d\d$/);
  expect(await rows.count()).toBeLessThan(200);
  const frames = await page.getByRole("treegrid").evaluate(scrollThrough);
  await page.getByRole("treegrid").press("End");
  await expect(page.getByRole("treegrid").getByText("Ended")).toBeVisible();
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.getByRole("treegrid").press("Home");
  await expect(rows.first()).toBeVisible();
  console.log(`5,100 spans: shown after ${opened} ms; frames while scrolling ${JSON.stringify(frames)}`);
  writeFileSync(join(ROOT, "artifacts/ui_long_run.json"), `${JSON.stringify({ opened_ms: opened, frames })}\n`);
  await page.getByRole("link", { name: "Events" }).click();
  await expect(page.getByText("6,802 of 6,802")).toBeVisible();
  const journal = await world.journal(LONG_RUN);
  const list = page.getByRole("region", { name: "List of events" });
  for (const share of [0, 0.3, 0.7, 1]) {
    await list.evaluate((element, part) => element.scrollTo({ top: element.scrollHeight * part }), share);
    await expect(async () => {
      const places = await sequencesInSight(page);
      expect(places.some(([place]) => Math.abs(place / journal.length - share) < 0.02)).toBe(true);
      expect(places.map(([, sequence]) => sequence)).toEqual(places.map(([place]) => journal[place]?.sequence));
    }).toPass();
  }
});

/** Scrolls to the end in 120 frames and measures the time between them. */
async function scrollThrough(element: Element): Promise<Frames> {
  const times: number[] = [];
  const step = (element.scrollHeight - element.clientHeight) / 120;
  let last = performance.now();
  for (let frame = 0; frame < 120; frame += 1) {
    element.scrollBy({ top: step });
    const now = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
    times.push(now - last);
    last = now;
  }
  times.sort((one, other) => one - other);
  const at = (share: number) => Math.round((times[Math.floor(times.length * share)] ?? 0) * 10) / 10;
  return { count: times.length, p50_ms: at(0.5), p95_ms: at(0.95), longest_ms: at(0.999) };
}
