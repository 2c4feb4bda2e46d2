import { Icon, type IconName } from "../components/Icon";
import type { ThemeChoice } from "../theme/themeStore";
import { useTheme } from "../theme/useTheme";

const NEXT: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const ICON: Record<ThemeChoice, IconName> = { system: "screen", light: "sun", dark: "moon" };
const WORD: Record<ThemeChoice, string> = { system: "as the system", light: "light", dark: "dark" };

export function ThemeSwitch() {
  const { choice, choose } = useTheme();
  const label = `Theme: ${WORD[choice]}`;
  return (
    <button type="button" className="icon-button" aria-label={label} title={label} onClick={() => choose(NEXT[choice])}>
      <Icon name={ICON[choice]} />
    </button>
  );
}
