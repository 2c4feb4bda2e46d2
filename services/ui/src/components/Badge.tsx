import type { ReactNode } from "react";
import { Icon, type IconName } from "./Icon";

export type Tone = "ok" | "run" | "wait" | "bad" | "hold" | "idle";

interface BadgeProps {
  tone: Tone;
  icon: IconName;
  children: ReactNode;
  title?: string;
}

/** A status: always a form and a word, the colour only helps. */
export function Badge({ tone, icon, children, title }: BadgeProps) {
  return (
    <span className={`badge tone-${tone}`} title={title}>
      <Icon name={icon} size={13} />
      <span>{children}</span>
    </span>
  );
}
