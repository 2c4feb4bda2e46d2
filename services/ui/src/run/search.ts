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
export function readSearch(search: Record<string, unknown>): RunSearch {
  const text = (key: string): string | undefined => {
    const value = search[key];
    return typeof value === "string" && value.length > 0 && value.length <= 128 ? value : undefined;
  };
  const flag = (key: string): true | undefined => (search[key] === true ? true : undefined);
  return { span: text("span"), full: flag("full"), table: flag("table"), type: text("type") };
}
