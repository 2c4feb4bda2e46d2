import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectAccessible } from "./axe";
import { expect, test, watchFaults } from "./fixtures";
import { connection, expectNoSidewaysScroll, open } from "./pages";

const TOKEN = "a-token-of-the-test-that-is-long-enough";

function withToken(folder: string, settings: Record<string, string> = {}): Record<string, string> {
  const file = join(folder, "tokens");
  writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
  return { MILEPOST_GATEWAY_WRITE: "token", MILEPOST_GATEWAY_TOKEN_FILE: file, ...settings };
}

test.use({ signedIn: false });

test("UI-1: without a token the page reads and changes nothing; a wrong one is refused, a right one lets in", async ({
  page,
  world,
}) => {
  const gateway = await world.gateway(withToken(world.folder));
  await open(page, gateway.url);
  const key = page.getByRole("button", { name: "Read-only" });
  await key.click();
  await page.getByRole("textbox", { name: "Token" }).fill("wrong");
  await page.getByRole("button", { name: "Use token" }).click();
  const dialog = page.getByRole("dialog", { name: "Token" });
  await expect(dialog.getByRole("alert")).toContainText("does not know this token");
  await expectAccessible(page, "a refused token");
  await page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
  await page.getByRole("button", { name: "Use token" }).click();
  await expect(dialog).toBeHidden();
  await expect(key).toBeHidden();
  await page.reload();
  await expect(connection(page)).toHaveText("Live");
  await expect(key).toBeHidden();
  await gateway.stop();
});

test("a token in the link is used and does not stay in the address", async ({ page, world }) => {
  const gateway = await world.gateway(withToken(world.folder));
  await open(page, `${gateway.url}runs#token=${TOKEN}`);
  await expect(page.getByRole("button", { name: "Read-only" })).toBeHidden();
  expect(page.url()).toBe(`${gateway.url}runs`);
  await gateway.stop();
});

test("UI-1: a wrong token in the link is told, and forgotten", async ({ page, world }) => {
  const gateway = await world.gateway(withToken(world.folder));
  await open(page, `${gateway.url}runs#token=wrong`);
  await expect(page.getByRole("dialog", { name: "Token" })).toContainText("did not accept the token");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "Read-only" })).toBeVisible();
  await page.reload();
  await expect(connection(page)).toHaveText("Live");
  await expect(page.getByRole("dialog")).toBeHidden();
  await gateway.stop();
});

test("UI-1: the same build works below a path prefix", async ({ browser, world }) => {
  const gateway = await world.gateway({ MILEPOST_GATEWAY_PREFIX: "/tools/milepost" });
  const page = await browser.newPage();
  const faults = watchFaults(page);
  await open(page, `${gateway.url}messages`);
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Runs" }).click();
  await expect(page).toHaveURL(`${gateway.url}runs`);
  await page.reload();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Runs");
  await expect(connection(page)).toHaveText("Live");
  await expectNoSidewaysScroll(page);
  expect(faults).toEqual([]);
  await page.close();
  await gateway.stop();
});

test("where reading needs a token too, the page asks for one", async ({ page, world }) => {
  const gateway = await world.gateway(withToken(world.folder, { MILEPOST_GATEWAY_READ: "token" }));
  await page.goto(gateway.url);
  await page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
  await page.getByRole("button", { name: "Use token" }).click();
  await expect(connection(page)).toHaveText("Live");
  await gateway.stop();
});
