type Listener = (now: number) => void;

/** One loop of animation frames for all bars that grow; it runs only while there are some and somebody looks. */
class Frames {
  private readonly listeners = new Set<Listener>();
  private handle = 0;
  private last = 0;
  private readonly calm = window.matchMedia?.("(prefers-reduced-motion: reduce)");

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    this.handle ||= requestAnimationFrame(this.tick);
    return () => this.listeners.delete(listener);
  }

  private readonly tick = (time: number): void => {
    const period = this.calm?.matches ? 1000 : 40;
    if (time - this.last >= period) {
      this.last = time;
      for (const listener of this.listeners) listener(time);
    }
    this.handle = this.listeners.size > 0 ? requestAnimationFrame(this.tick) : 0;
  };
}

export const frames = new Frames();
