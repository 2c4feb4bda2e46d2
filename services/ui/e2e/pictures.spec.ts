import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "./fixtures";
import { open, openRun, type Theme } from "./pages";
import { type JournalEvent, ROOT, until } from "./world";

const DOCUMENTED = join(ROOT, "docs/images");
const TAKEN = process.env.MILEPOST_PICTURES === "docs" ? DOCUMENTED : join(ROOT, "artifacts/ui-images");
const PROMPT = "What does our handbook say about error messages? Write a matching exception class.";
const LARGEST_BYTES = 200_000;
const PAGES_WITH_PICTURES = ["README.md", "docs/UI_SERVICE_SETUP.md"];

async function take(page: Page, name: string, theme: Theme): Promise<void> {
  await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(TAKEN, `${name}-${theme}.png`), animations: "disabled", caret: "hide" });
  expect(statSync(join(TAKEN, `${name}-${theme}.png`)).size).toBeLessThan(LARGEST_BYTES);
}

test("DOC-1: the pictures of the documentation are taken of a run that outlives its agent", async ({
  page,
  world,
  api,
}) => {
  test.setTimeout(240_000);
  mkdirSync(TAKEN, { recursive: true });
  const { run_id } = await api.start("review-loop", PROMPT);
  await until("the model writes code", async () => {
    const { events } = (await api.get(`runs/${run_id}/events?limit=500`)) as { events: JournalEvent[] };
    return events.some((event) => event.type === "StepStarted" && event.step === "code");
  });
  await world.kill("review-loop");
  const asks = await api.start("press", "A short text about rivers, for children.");
  await api.untilRun(asks.run_id, "waits", (run) => run.state === "waiting");
  await api.untilRun(run_id, "ends", (run) => run.state === "ended");
  await openRun(page, run_id);
  await expect(page.getByText("resumed after a crash")).toBeVisible();
  for (const theme of ["light", "dark"] as const) await take(page, "ui-run", theme);
  await openRun(page, run_id, "decisions");
  await expect(page.getByRole("article").first()).toContainText("Router recommends");
  await take(page, "ui-decisions", "light");
  await open(page, "");
  await expect(page.getByRole("article", { name: "Agent press" })).toContainText("Reachable");
  await take(page, "ui-overview", "light");
});

test("DOC-1: every picture that the documentation shows is there and small", () => {
  for (const file of PAGES_WITH_PICTURES) {
    const text = readFileSync(join(ROOT, file), "utf8");
    const shown = [...text.matchAll(/\((?:docs\/)?(images\/ui-[\w-]+\.png)\)/g)].map((found) => found[1] ?? "");
    expect(shown.length, file).toBeGreaterThan(0);
    for (const name of shown) {
      expect(existsSync(join(ROOT, "docs", name)), `${file} shows ${name}`).toBe(true);
      expect(statSync(join(ROOT, "docs", name)).size, name).toBeLessThan(LARGEST_BYTES);
    }
  }
});
