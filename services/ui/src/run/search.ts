import { field } from "../app/searchParams";

/** What a view of a run keeps in its URL beside its path. */
export interface RunSearch {
  /** Span whose detail is open. */
  span?: string | undefined;
  /** Every hop shows its parts. */
  full?: true | undefined;
  /** The timeline as a table. */
  table?: true | undefined;
  /** Only events of this type. */
  type?: string | undefined;
}

/** What a URL says; what makes no sense is left out. */
export function readSearch(fields: Record<string, unknown>): RunSearch {
  const flag = (name: string): true | undefined =>
    fields[name] === true || fields[name] === "true" ? true : undefined;
  return { span: field(fields, "span"), full: flag("full"), table: flag("table"), type: field(fields, "type") };
}
