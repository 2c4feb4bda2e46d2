/**
 * Calls `action` at once, and then once more for all that came in between, when `periodMs` have passed and the action
 * has ended. Many events of a busy agent become few reads, and a slow read is never overtaken by the next.
 */
export class Throttle {
  private readonly action: () => Promise<unknown>;
  private readonly periodMs: number;
  private busy = false;
  private again = false;
  private stopped = false;

  constructor(action: () => Promise<unknown>, periodMs: number) {
    this.action = action;
    this.periodMs = periodMs;
  }

  call(): void {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    void this.run();
  }

  stop(): void {
    this.stopped = true;
  }

  private async run(): Promise<void> {
    do {
      this.again = false;
      const period = new Promise((resolve) => setTimeout(resolve, this.periodMs));
      await Promise.allSettled([this.action(), period]);
    } while (this.again && !this.stopped);
    this.busy = false;
  }
}
