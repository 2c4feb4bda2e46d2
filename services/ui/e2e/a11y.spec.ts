import { expectAccessible, inBothThemes } from "./axe";
import { expect, test } from "./fixtures";
import { expectNoSidewaysScroll, open, openRun } from "./pages";

// axe looks at every element of every view, in two themes.
test.setTimeout(240_000);

const PAGES = ["", "runs", "messages", "backups"];

test("UI-2: axe finds nothing on any page, light or dark", async ({ page }) => {
  await inBothThemes(page, async (theme) => {
    for (const path of PAGES) {
      await open(page, path);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await expectAccessible(page, `/${path} ${theme}`);
    }
  });
});

test("UI-2: axe finds nothing in the dialogs, light or dark", async ({ page }) => {
  await inBothThemes(page, async (theme) => {
    await open(page, "");
    for (const keys of ["?", "Control+k"]) {
      await page.keyboard.press(keys);
      await expect(page.getByRole("dialog")).toBeVisible();
      await expectAccessible(page, `${keys} ${theme}`);
      await page.keyboard.press("Escape");
      await expect(page.getByRole("dialog")).toBeHidden();
    }
  });
});

test("UI-2: axe finds nothing in any view of a run that waits, light or dark", async ({ page, api }) => {
  const { run_id } = await api.start("press", "Look at me");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await inBothThemes(page, async (theme) => {
    for (const view of ["timeline", "graph", "decisions", "answers", "messages", "events"]) {
      await openRun(page, run_id, view);
      await expect(page.getByText("Your approval is needed")).toBeVisible();
      await expectAccessible(page, `${view} ${theme}`);
    }
    await openRun(page, run_id, "timeline?full=true");
    await page.getByRole("treegrid").getByRole("row").nth(2).click();
    await expect(page.getByRole("complementary", { name: "Detail" })).toBeVisible();
    await expectAccessible(page, `detail ${theme}`);
  });
});

test("UI-2: axe finds nothing in the forms, light or dark", async ({ page, api }) => {
  await api.start("asking", "A row for the table");
  await inBothThemes(page, async (theme) => {
    await open(page, "runs?new=1");
    await expect(page.getByRole("dialog", { name: "New run" })).toBeVisible();
    await expectAccessible(page, `new run ${theme}`);
    await open(page, "");
    await page.getByRole("button", { name: "Switch…" }).first().click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectAccessible(page, `mode ${theme}`);
  });
});

test("UI-2: a narrow window shows every page and every view of a run without scrolling sideways", async ({
  page,
  api,
}) => {
  const { run_id } = await api.start("press", "A narrow look");
  await api.untilRun(run_id, "waits", (run) => run.state === "waiting");
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of PAGES) {
    await open(page, path);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expectNoSidewaysScroll(page);
  }
  for (const view of ["timeline", "graph", "decisions", "answers", "messages", "events"]) {
    await openRun(page, run_id, view);
    await expectNoSidewaysScroll(page);
  }
});
