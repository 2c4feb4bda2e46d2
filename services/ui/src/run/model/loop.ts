import type { Reader } from "./eventLog";
import { millis, numberOf, type RunEvent, textOf } from "./wire";

export interface Review {
  readonly cycle: number;
  readonly verdict: string;
  /** What the reviewer wrote. */
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** The review loop of a run: where it is, and what each review said. */
export class Loop implements Reader {
  reviews: Review[] = [];
  /** 1-based; 0 for a linear workflow. */
  cycle = 0;
  maxCycles = 0;
  private lastText = "";

  reset(): void {
    Object.assign(this, new Loop());
  }

  add(event: RunEvent): void {
    const { data } = event;
    switch (event.type) {
      case "RunAccepted":
        this.maxCycles = numberOf(data, "max_cycles") ?? this.maxCycles;
        if (this.maxCycles > 0) this.cycle = 1;
        break;
      case "RunResumed":
      case "StepCompleted":
        this.maxCycles = numberOf(data, "max_cycles") ?? this.maxCycles;
        this.cycle = numberOf(data, "current_cycle") ?? this.cycle;
        if (event.type === "StepCompleted") this.lastText = textOf(data, "output");
        break;
      case "ReviewCycle":
        this.reviewed(event);
        break;
      default:
    }
  }

  private reviewed(event: RunEvent): void {
    const cycle = numberOf(event.data, "cycle") ?? this.cycle;
    const verdict = textOf(event.data, "verdict");
    this.maxCycles = numberOf(event.data, "max_cycles") ?? this.maxCycles;
    this.reviews.push({ cycle, verdict, text: this.lastText, time: millis(event.time, 0) });
    this.cycle = verdict === "revise" && cycle < this.maxCycles ? cycle + 1 : cycle;
  }
}

/** "Review cycle 1 of 2"; empty for a linear workflow. */
export function loopLabel(cycle: number, maxCycles: number): string {
  return cycle > 0 && maxCycles > 0 ? `Review Cycle ${cycle} of ${maxCycles}` : "";
}
