export interface Toast {
  id: number;
  tone: "ok" | "bad";
  title: string;
  detail: string;
}

const SHOWN_MS = 6000;

/** Short words about what was just done; a failure stays until it is closed. */
class ToastStore {
  private toasts: readonly Toast[] = [];
  private nextId = 1;
  private readonly listeners = new Set<() => void>();

  get = (): readonly Toast[] => this.toasts;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  show(tone: Toast["tone"], title: string, detail = ""): void {
    const id = this.nextId++;
    this.update([...this.toasts.slice(-3), { id, tone, title, detail }]);
    if (tone === "ok") setTimeout(() => this.close(id), SHOWN_MS);
  }

  close(id: number): void {
    this.update(this.toasts.filter((toast) => toast.id !== id));
  }

  private update(toasts: readonly Toast[]): void {
    this.toasts = toasts;
    for (const listener of this.listeners) listener();
  }
}

export const toasts = new ToastStore();
