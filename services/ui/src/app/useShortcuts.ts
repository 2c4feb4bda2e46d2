import { useEffect, useRef } from "react";

/** By key, or "g r" for two keys one after the other. The key is then not the browser's. */
export type Shortcuts = Record<string, (event: KeyboardEvent) => unknown>;

const SEQUENCE_MS = 1200;

/** Keys that work anywhere on the page, but not while somebody types or a dialog is open. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const newest = useRef(shortcuts);
  useEffect(() => {
    newest.current = shortcuts;
  });
  useEffect(() => {
    let prefix = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isBusy(event.target)) return;
      const sequence = prefix ? `${prefix} ${event.key}` : event.key;
      prefix = "";
      clearTimeout(timer);
      const action = newest.current[sequence];
      if (action) {
        event.preventDefault();
        action(event);
      } else if (Object.keys(newest.current).some((key) => key.startsWith(`${event.key} `))) {
        prefix = event.key;
        timer = setTimeout(() => {
          prefix = "";
        }, SEQUENCE_MS);
      }
    };
    window.addEventListener("keydown", listen);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("keydown", listen);
    };
  }, []);
}

function isBusy(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("input, textarea, select, [contenteditable=true], [role=dialog], [role=menu], [role=listbox]")) {
    return true;
  }
  return document.querySelector("[role=dialog]") !== null;
}
