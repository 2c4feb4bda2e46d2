import type { Locator, Page } from "@playwright/test";
import { expect } from "./fixtures";

export const LONG_RUN = "00000000-0000-4000-8000-000000005000";
export const ODD_RUN = "00000000-0000-4000-8000-00000000dead";

export type Theme = "light" | "dark";

/** Open a view by its URL and wait until what it shows is live. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await expect(connection(page)).toHaveText("Live");
}

export function connection(page: Page): Locator {
  return page.locator(".connection");
}

/** Nothing sticks out to the right: no page scrolls sideways as a whole. */
export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(beyond).toBeLessThanOrEqual(0);
}
