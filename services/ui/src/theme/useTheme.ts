import { useSyncExternalStore } from "react";
import { type ThemeChoice, type ThemeState, ThemeStore } from "./themeStore";

let store: ThemeStore | null = null;

function themeStore(): ThemeStore {
  store ??= new ThemeStore(document.documentElement, window.matchMedia("(prefers-color-scheme: dark)"));
  return store;
}

/** Sets the theme before the first paint. */
export function startTheme(): void {
  themeStore();
}

export function useTheme(): ThemeState & { choose: (choice: ThemeChoice) => void } {
  const themes = themeStore();
  const state = useSyncExternalStore(themes.subscribe, themes.get);
  return { ...state, choose: (choice) => themes.choose(choice) };
}
