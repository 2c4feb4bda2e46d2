import type { ButtonHTMLAttributes, ReactNode } from "react";
import { Icon, type IconName } from "./Icon";

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "type"> {
  variant?: "plain" | "primary" | "danger" | "quiet";
  icon?: IconName;
  submit?: boolean;
  busy?: boolean;
  children: ReactNode;
}

export function Button({ variant = "plain", icon, submit, busy, children, className, ...rest }: ButtonProps) {
  return (
    <button
      {...rest}
      type={submit ? "submit" : "button"}
      className={`button button-${variant} ${className ?? ""}`}
      aria-busy={busy || undefined}
      disabled={rest.disabled || busy}
    >
      {busy ? <span className="spinner" aria-hidden="true" /> : icon ? <Icon name={icon} size={14} /> : null}
      <span>{children}</span>
    </button>
  );
}
