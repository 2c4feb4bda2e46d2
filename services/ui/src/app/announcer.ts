type Listener = (text: string) => void;

let listener: Listener | null = null;

/** Says `text` to a screen reader, once, when it has time. */
export function announce(text: string): void {
  listener?.(text);
}

export function onAnnounce(next: Listener): () => void {
  listener = next;
  return () => {
    if (listener === next) listener = null;
  };
}
