import { type ReactNode, useId } from "react";

interface FieldProps {
  label: ReactNode;
  /** The control; it must carry the id. */
  children: (id: string) => ReactNode;
}

export function Field({ label, children }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label}
      </label>
      {children(id)}
    </div>
  );
}
