export type ThemeChoice = "system" | "light" | "dark";
export type Theme = "light" | "dark";

const KEY = "milepost.theme";
const CHOICES: readonly ThemeChoice[] = ["system", "light", "dark"];

export interface ThemeState {
  choice: ThemeChoice;
  theme: Theme;
}

/** Which theme is shown: the person's choice, or the system's as long as there is none. */
export class ThemeStore {
  private state: ThemeState;
  private readonly dark: MediaQueryList;
  private readonly root: HTMLElement;
  private readonly listeners = new Set<() => void>();

  constructor(root: HTMLElement, dark: MediaQueryList) {
    this.root = root;
    this.dark = dark;
    this.state = this.resolve(stored());
    this.show();
    dark.addEventListener("change", () => this.choose(this.state.choice));
  }

  get = (): ThemeState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  choose(choice: ThemeChoice): void {
    this.state = this.resolve(choice);
    try {
      if (choice === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // Holds for this page only.
    }
    this.show();
    for (const listener of this.listeners) listener();
  }

  private resolve(choice: ThemeChoice): ThemeState {
    const system: Theme = this.dark.matches ? "dark" : "light";
    return { choice, theme: choice === "system" ? system : choice };
  }

  private show(): void {
    this.root.dataset.theme = this.state.theme;
  }
}

function stored(): ThemeChoice {
  try {
    const value = localStorage.getItem(KEY);
    return CHOICES.find((choice) => choice === value) ?? "system";
  } catch {
    return "system";
  }
}
