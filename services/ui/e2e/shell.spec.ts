import { expect, test } from "./fixtures";
import { connection, expectNoSidewaysScroll, open } from "./pages";

const PAGES = [
  ["", "Overview"],
  ["runs", "Runs"],
  ["messages", "Messages"],
  ["backups", "Backups"],
] as const;

test("UI-2: every page has its URL, by itself and with the back button", async ({ page }) => {
  for (const [path, title] of PAGES) {
    await open(page, path);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
  }
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Runs" }).click();
  await expect(page).toHaveURL(/\/runs$/);
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Backups");
  await page.goForward();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Runs");
});

test("UI-2: pages are reached by keys alone, and help lists the keys", async ({ page }) => {
  await open(page, "");
  const keyed = [
    ["gr", "Runs"],
    ["gm", "Messages"],
    ["gb", "Backups"],
    ["go", "Overview"],
  ] as const;
  for (const [keys, title] of keyed) {
    await page.keyboard.type(keys);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
  }
  await page.keyboard.press("?");
  const help = page.getByRole("dialog");
  await expect(help).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(help).toBeHidden();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("dialog")).toBeVisible();
});

test("a path that is no page says so and leads back", async ({ page }) => {
  await page.goto("no/such/page");
  await expect(page.getByRole("main")).toContainText(/not found|no page|nothing here/i);
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Overview" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Overview");
});

test("UI-2: the theme that was chosen holds over a reload", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await open(page, "");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  const button = page.getByRole("button", { name: /theme/i });
  for (let presses = 0; presses < 3 && (await background()) === light; presses += 1) await button.click();
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.reload();
  await expect(connection(page)).toHaveText("Live");
  expect(await background()).toBe(dark);
});

test("UI-2: a narrow window shows every page without scrolling sideways", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const [path, title] of PAGES) {
    await open(page, path);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
    await expectNoSidewaysScroll(page);
  }
});

test("UI-2: nothing moves for a person who wants it so", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  for (const [path] of PAGES) {
    await open(page, path);
    const moving = await page.evaluate(() =>
      document
        .getAnimations()
        .filter((each) => each.playState === "running" && Number(each.effect?.getComputedTiming().duration) > 50)
        .map((each) => (each.effect as KeyframeEffect).target?.outerHTML.slice(0, 120)),
    );
    expect(moving).toEqual([]);
  }
});
