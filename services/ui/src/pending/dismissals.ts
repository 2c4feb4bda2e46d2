const KEY = "milepost.dismissed";
const MOST = 500;

/** Ids of ended runs that a person has taken note of, in this browser; the newest few hundred are kept. */
export class Dismissals {
  private ids: ReadonlySet<string>;
  private readonly storage: Storage | null;
  private readonly listeners = new Set<() => void>();

  constructor(storage: Storage | null) {
    this.storage = storage;
    this.ids = new Set(read(storage));
  }

  get = (): ReadonlySet<string> => this.ids;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Another tab may have dismissed something meanwhile. */
  add(runId: string): void {
    const all = [...new Set([...read(this.storage), ...this.ids, runId])].slice(-MOST);
    this.ids = new Set(all);
    try {
      this.storage?.setItem(KEY, JSON.stringify(all));
    } catch {
      // Holds for this page only.
    }
    for (const listener of this.listeners) listener();
  }
}

function read(storage: Storage | null): string[] {
  try {
    const stored: unknown = JSON.parse(storage?.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? stored.filter((each) => typeof each === "string") : [];
  } catch {
    return [];
  }
}

function localStorageOrNull(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export const dismissals = new Dismissals(localStorageOrNull());
