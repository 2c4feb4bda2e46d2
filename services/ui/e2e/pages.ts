import type { Locator, Page } from "@playwright/test";
import { expect } from "./fixtures";

export const LONG_RUN = "00000000-0000-4000-8000-000000005000";
export const ODD_RUN = "00000000-0000-4000-8000-00000000dead";
export const ATTENTION_RUN = "00000000-0000-4000-8000-00000000a77e";

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
  const wide = await page.evaluate(() => {
    if (document.documentElement.scrollWidth <= window.innerWidth) return [];
    const elements = [...document.querySelectorAll("main *, header *, nav *")];
    const sticking = elements.filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1);
    return ["the page", ...sticking.slice(0, 5).map((element) => element.outerHTML.slice(0, 80))];
  });
  expect(wide).toEqual([]);
}

/** Where a run stands, as its page says it. */
export function status(page: Page): Locator {
  return page.locator(".run-fact").filter({ hasText: /^Status/ });
}

export async function openRun(page: Page, runId: string, view = "timeline"): Promise<void> {
  await open(page, `runs/${runId}/${view}`);
  await expect(page.getByRole("navigation", { name: "Views of this run" })).toBeVisible();
}

/** Events of the agent itself, which the page of a run shows among those of the run. */
const OF_THE_AGENT = ["AgentStarted", "ObservabilityChanged"];

/** Sequence numbers that the list of raw events shows of its run, from its first line to its last. */
export async function shownSequences(page: Page): Promise<number[]> {
  const box = page.getByRole("region", { name: "List of events" });
  await box.evaluate((element) => element.scrollTo({ top: 0 }));
  const lines = new Map<number, number>();
  const strangers = new Set<number>();
  for (;;) {
    for (const [place, sequence, type] of await sequencesInSight(page)) {
      lines.set(place, sequence);
      if (OF_THE_AGENT.includes(type)) strangers.add(sequence);
    }
    const moved = await box.evaluate((element) => {
      const before = element.scrollTop;
      element.scrollBy({ top: element.clientHeight / 2 });
      return element.scrollTop > before;
    });
    if (!moved) {
      const inOrder = [...lines].sort(([one], [other]) => one - other).map(([, sequence]) => sequence);
      return inOrder.filter((sequence) => !strangers.has(sequence));
    }
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
}

/** The lines of raw events that are in sight now: place in the list, sequence number, type. */
export async function sequencesInSight(page: Page): Promise<[number, number, string][]> {
  const lines = page.getByRole("region", { name: "List of events" }).locator("li");
  return lines.evaluateAll((items) =>
    items.map((item): [number, number, string] => [
      Number((item as HTMLElement).dataset.index),
      Number(item.querySelector(".event-sequence")?.textContent),
      item.querySelector(".event-type")?.textContent ?? "",
    ]),
  );
}

/** Fails when the page was loaded again after this was called. */
export async function markPage(page: Page): Promise<() => Promise<void>> {
  await page.evaluate(() => {
    (window as unknown as { mark: string }).mark = "same";
  });
  return async () => expect(await page.evaluate(() => (window as unknown as { mark?: string }).mark)).toBe("same");
}
