type Listener = () => void;

/**
 * The time of the server, whatever the clock of this machine says: countdowns and ages are reckoned with it.
 * Between two measurements it runs on a monotonic clock, so that setting the local clock changes nothing.
 */
export class Clock {
  private base: { server: number; at: number } | null = null;
  private readonly monotonic: () => number;
  private readonly wall: () => number;

  constructor(monotonic: () => number = () => performance.now(), wall: () => number = () => Date.now()) {
    this.monotonic = monotonic;
    this.wall = wall;
  }

  /** `at`: when that was the server's time, on the monotonic clock. */
  observe(serverTime: string, at: number = this.monotonic()): void {
    const server = Date.parse(serverTime);
    if (Number.isFinite(server)) this.base = { server, at };
  }

  /** Milliseconds since 1970 on the server. */
  now = (): number => (this.base ? this.base.server + (this.monotonic() - this.base.at) : this.wall());

  /** How far the local clock is ahead of the server's, in milliseconds. */
  skew = (): number => this.wall() - this.now();
}

export const clock = new Clock();

/** One timer for all that shows time; it stands still while nobody looks. */
class Ticker {
  private readonly listeners = new Set<Listener>();
  private timer: ReturnType<typeof setInterval> | undefined;
  private second = 0;

  get = (): number => this.second;

  subscribe = (listener: Listener): (() => void) => {
    this.listeners.add(listener);
    if (this.timer === undefined) {
      this.timer = setInterval(this.tick, 1000);
      document.addEventListener("visibilitychange", this.tick);
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      document.removeEventListener("visibilitychange", this.tick);
      this.timer = undefined;
    };
  };

  private readonly tick = (): void => {
    if (document.hidden) return;
    this.second += 1;
    for (const listener of this.listeners) listener();
  };
}

export const ticker = new Ticker();
