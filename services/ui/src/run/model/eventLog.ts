import { type RunEvent, readEvent } from "./wire";

/** What reads events in the order of their sequence numbers, each once. */
export interface Reader {
  add(event: RunEvent): void;
  reset(): void;
}

/**
 * The events of one run, in order and without doubles, however they arrive.
 *
 * An event that is newer than all others is handed to the readers by itself. One that comes late has them begin anew:
 * it is rare, and keeps each of them a plain walk over time.
 */
export class EventLog {
  readonly events: RunEvent[] = [];
  private readonly known = new Set<number>();
  private readonly readers: readonly Reader[];

  constructor(readers: readonly Reader[] = []) {
    this.readers = readers;
  }

  get lastSequence(): number {
    return this.events.at(-1)?.sequence ?? 0;
  }

  /** Takes what came over the wire; returns how many events were new. */
  add(raw: readonly unknown[]): number {
    const fresh: RunEvent[] = [];
    for (const each of raw) {
      const event = readEvent(each);
      if (event === null || this.known.has(event.sequence)) continue;
      this.known.add(event.sequence);
      fresh.push(event);
    }
    fresh.sort(bySequence);
    const first = fresh[0];
    if (first === undefined) return 0;
    const late = first.sequence < this.lastSequence;
    for (const event of fresh) this.events.push(event);
    if (late) {
      this.events.sort(bySequence);
      for (const reader of this.readers) reader.reset();
    }
    for (const event of late ? this.events : fresh) {
      for (const reader of this.readers) reader.add(event);
    }
    return fresh.length;
  }

  /** Forgets everything, for a journal that was restored. */
  clear(): void {
    this.events.length = 0;
    this.known.clear();
    for (const reader of this.readers) reader.reset();
  }
}

function bySequence(one: RunEvent, other: RunEvent): number {
  return one.sequence - other.sequence;
}
