import { defineConfig } from "@playwright/test";

const browser = process.env.MILEPOST_CHROMIUM;
if (!browser) throw new Error("MILEPOST_CHROMIUM names the browser; `make ui-test` finds one by itself");

export default defineConfig({
  testDir: "e2e",
  outputDir: "../../artifacts/ui-test",
  workers: 2,
  // What passes only at the second try is told as flaky.
  retries: process.env.CI ? 1 : 0,
  forbidOnly: !!process.env.CI,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"], ["./e2e/closing.ts"]],
  use: {
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "UTC",
    launchOptions: { executablePath: browser },
    trace: { mode: "retain-on-failure", screenshots: false },
    screenshot: "only-on-failure",
  },
});
