import { type ReactNode, useId } from "react";

interface CardProps {
  title: string;
  /** Controls at the right of the title. */
  aside?: ReactNode;
  note?: ReactNode;
  flush?: boolean;
  children: ReactNode;
}

/** A part of a page with its heading. */
export function Card({ title, aside, note, flush, children }: CardProps) {
  const id = useId();
  return (
    <section className="card" aria-labelledby={id}>
      <header className="card-head">
        <h2 id={id}>{title}</h2>
        {note ? <span className="card-note">{note}</span> : null}
        {aside ? <div className="card-aside">{aside}</div> : null}
      </header>
      <div className={flush ? "card-flush" : "card-body"}>{children}</div>
    </section>
  );
}
