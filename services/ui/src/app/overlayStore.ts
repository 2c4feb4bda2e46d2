export type Overlay = "help" | "command" | null;

/** Which dialog of the shell is open. */
class OverlayStore {
  private overlay: Overlay = null;
  private readonly listeners = new Set<() => void>();

  get = (): Overlay => this.overlay;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  show(overlay: Overlay): void {
    this.overlay = overlay;
    for (const listener of this.listeners) listener();
  }
}

export const overlays = new OverlayStore();
