import type { Service, Usage } from "../api/types";

export interface UsageSample {
  /** Milliseconds on this page's wall clock. */
  time: number;
  cpu_cores: number;
  memory_bytes: number;
  tokens_per_second: number;
  queued_calls: number;
}

const LENGTH = 120;

/** The last figures of each service since this page was opened, oldest first. */
export class UsageHistory {
  private samples: ReadonlyMap<string, readonly UsageSample[]> = new Map();
  private readonly listeners = new Set<() => void>();

  get = (): ReadonlyMap<string, readonly UsageSample[]> => this.samples;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  add(services: Service[], time: number = Date.now()): void {
    const next = new Map<string, readonly UsageSample[]>();
    for (const service of services) {
      const key = serviceKey(service);
      const earlier = this.samples.get(key) ?? [];
      next.set(key, service.usage ? [...earlier, sample(service.usage, time)].slice(-LENGTH) : earlier);
    }
    this.samples = next;
    for (const listener of this.listeners) listener();
  }
}

export const usageHistory = new UsageHistory();

/** Names are unique in a namespace only. */
export function serviceKey({ namespace, name }: Service): string {
  return `${namespace}/${name}`;
}

function sample(usage: Usage, time: number): UsageSample {
  return {
    time,
    cpu_cores: usage.cpu_cores,
    memory_bytes: usage.memory_bytes,
    tokens_per_second: usage.tokens_per_second,
    queued_calls: usage.queued_calls,
  };
}
