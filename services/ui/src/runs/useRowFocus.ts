import { type RefObject, useCallback, useEffect, useRef, useState } from "react";

const STEP: Record<string, (active: number, count: number) => number> = {
  ArrowDown: (active) => active + 1,
  j: (active) => active + 1,
  ArrowUp: (active) => active - 1,
  k: (active) => active - 1,
  PageDown: (active) => active + 15,
  PageUp: (active) => active - 15,
  Home: () => 0,
  End: (_active, count) => count - 1,
};

export interface RowFocus {
  active: number;
  set: (index: number) => void;
  /** Moves the focus for a key; false when the key moves nothing. */
  move: (key: string) => boolean;
}

/** The row that has the focus or would get it, in a list of which only a part is in the page. */
export function useRowFocus(
  count: number,
  container: RefObject<HTMLElement | null>,
  scrollTo: (index: number) => void,
): RowFocus {
  const [active, setActive] = useState(0);
  const wanted = useRef<number | null>(null);

  useEffect(() => {
    if (wanted.current === null) return;
    const row = container.current?.querySelector<HTMLElement>(`tr[data-index="${wanted.current}"]`);
    if (!row) return;
    wanted.current = null;
    row.focus({ preventScroll: true });
  });

  const move = useCallback(
    (key: string) => {
      const step = STEP[key];
      if (!step || count === 0) return false;
      const next = Math.min(count - 1, Math.max(0, step(active, count)));
      wanted.current = next;
      setActive(next);
      scrollTo(next);
      return true;
    },
    [active, count, scrollTo],
  );
  return { active: Math.min(active, Math.max(0, count - 1)), set: setActive, move };
}
