import type { FullResult, Reporter, TestCase, TestResult } from "@playwright/test/reporter";

/** Ends the output with a line that says how many tests passed, as every other runner here does. */
export default class Closing implements Reporter {
  private readonly ends = new Map<string, TestResult["status"]>();

  onTestEnd(test: TestCase, result: TestResult): void {
    this.ends.set(test.id, result.status);
  }

  onEnd(_result: FullResult): void {
    const count = (...wanted: string[]) => [...this.ends.values()].filter((status) => wanted.includes(status)).length;
    const skipped = count("skipped");
    const failed = count("failed", "timedOut", "interrupted");
    console.log(`${count("passed")} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
  }

  printsToStdio(): boolean {
    return false;
  }
}
