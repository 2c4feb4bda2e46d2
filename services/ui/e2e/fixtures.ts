import { cpSync } from "node:fs";
import { join } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import { ROOT, type Run, until, World } from "./world";

export { expect };

interface Api {
  get(path: string): Promise<unknown>;
  send(method: string, path: string, body: unknown): Promise<unknown>;
  start(workflow: string, prompt: string): Promise<Run>;
  run(runId: string): Promise<Run>;
  untilRun(runId: string, what: string, holds: (run: Run) => boolean): Promise<Run>;
}

interface Own {
  /** Errors of the page's own code: a test in which there are some fails. */
  faults: string[];
  api: Api;
}

/** A worker's own local mode; `baseURL` is its gateway. Pages of a test begin at it. */
export const test = base.extend<Own, { world: World; gatewayUrl: string }>({
  world: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of what a fixture needs from here
    async ({}, use, info) => {
      const world = new World();
      try {
        await world.start();
        await use(world);
      } finally {
        await world.stop();
        cpSync(world.folder, join(ROOT, "artifacts/ui-test-world", String(info.workerIndex)), {
          recursive: true,
          filter: (path) => /\.(log|json)$/.test(path) || !path.includes("."),
        });
        world.remove();
      }
    },
    { scope: "worker", timeout: 180_000 },
  ],
  gatewayUrl: [async ({ world }, use) => use((await world.gateway()).url), { scope: "worker", timeout: 60_000 }],
  baseURL: async ({ gatewayUrl }, use) => use(gatewayUrl),
  faults: [
    async ({ page }, use) => {
      const faults = watchFaults(page);
      await use(faults);
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
  api: async ({ gatewayUrl }, use) => use(client(gatewayUrl)),
});

export function watchFaults(page: Page): string[] {
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(String(error.stack ?? error)));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("console", (message) => {
    const text = message.text();
    // The browser itself reports every answer other than 2xx and every connection that is cut.
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) faults.push(text);
  });
  return faults;
}

function client(url: string): Api {
  const ask = async (method: string, path: string, body?: unknown) => {
    const init =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const answer = await fetch(new URL(`api/${path}`, url), { method, ...init });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const api: Api = {
    get: (path) => ask("GET", path),
    send: ask,
    start: async (workflow, prompt) => (await ask("POST", "runs", { workflow, prompt })).run,
    run: async (runId) => (await ask("GET", `runs/${runId}`)).run,
    untilRun: (runId, what, holds) =>
      until(`run ${runId} ${what}`, async () => {
        const run = await api.run(runId);
        return holds(run) && run;
      }),
  };
  return api;
}
