import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { Icon } from "./Icon";

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}

/** A modal dialog: the focus stays in it, Escape closes it, and the focus goes back to where it was. */
export function Dialog({ open, onClose, title, description, wide, children }: DialogProps) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="dialog-veil" />
        <Radix.Content
          onOpenAutoFocus={focusFirstField}
          className={`dialog ${wide ? "dialog-wide" : ""}`}
          {...(description ? {} : { "aria-describedby": undefined })}
        >
          <header className="dialog-head">
            <Radix.Title className="dialog-title">{title}</Radix.Title>
            <Radix.Close className="icon-button" aria-label="Close">
              <Icon name="cross" />
            </Radix.Close>
          </header>
          {description ? <Radix.Description className="dialog-text">{description}</Radix.Description> : null}
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** The first field rather than the button that closes; a dialog without fields keeps the usual focus. */
function focusFirstField(event: Event): void {
  const content = event.currentTarget instanceof Element ? event.currentTarget : null;
  const field =
    content?.querySelector<HTMLElement>("[data-autofocus]") ??
    content?.querySelector<HTMLElement>("input, textarea, select");
  if (!field) return;
  event.preventDefault();
  field.focus();
}
