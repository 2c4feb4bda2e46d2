/**
 * Calls `action` at once, and then at most once in `periodMs`, with a last call for what came in between.
 * Many events of a busy agent become few reads.
 */
export class Throttle {
  private readonly action: () => void;
  private readonly periodMs: number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private again = false;

  constructor(action: () => void, periodMs: number) {
    this.action = action;
    this.periodMs = periodMs;
  }

  call(): void {
    if (this.timer !== undefined) {
      this.again = true;
      return;
    }
    this.action();
    this.timer = setTimeout(this.rest, this.periodMs);
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.again = false;
  }

  private readonly rest = (): void => {
    this.timer = undefined;
    if (!this.again) return;
    this.again = false;
    this.call();
  };
}
