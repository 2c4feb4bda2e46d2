import { expectAccessible, inBothThemes } from "./axe";
import { expect, test } from "./fixtures";
import { open } from "./pages";

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
