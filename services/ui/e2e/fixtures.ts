import { cpSync } from "node:fs";
import { join } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import { ROOT, type Run, until, World } from "./world";

export { expect };

export interface Api {
  get(path: string): Promise<unknown>;
  send(method: string, path: string, body: unknown): Promise<unknown>;
  start(workflow: string, prompt: string): Promise<Run>;
  run(runId: string): Promise<Run>;
  untilRun(runId: string, what: string, holds: (run: Run) => boolean): Promise<Run>;
}

interface Own {
  /** Whether pages have the token of local mode. */
  signedIn: boolean;
  /** Errors of the page's own code: a test in which there are some fails. */
  faults: string[];
  api: Api;
}

/** Tests share the local mode of their worker; their pages begin at its gateway. */
export const test = base.extend<Own, { world: World }>({
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
    { scope: "worker", timeout: 300_000 },
  ],
  signedIn: [true, { option: true }],
  baseURL: async ({ world }, use) => use(world.running.ui),
  context: async ({ context, signedIn, world }, use) => {
    if (signedIn) await context.addInitScript(signIn, world.token);
    await use(context);
  },
  faults: [
    async ({ page }, use) => {
      const faults = watchFaults(page);
      await use(faults);
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
  api: async ({ world }, use) => use(client(world)),
});

/** Runs in every page before its own code. */
function signIn(token: string): void {
  if (location.protocol.startsWith("http")) sessionStorage.setItem("milepost.token", token);
}

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

function client(world: World): Api {
  const ask = async (method: string, path: string, body?: unknown) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${world.token}` };
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(new URL(`api/${path}`, world.running.ui), { method, headers, ...init });
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
        const run = await api.run(runId).catch(() => undefined); // its agent may be on its way back
        return run && holds(run) && run;
      }),
  };
  return api;
}
