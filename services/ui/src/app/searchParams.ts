/** The query of an address as plain text fields: "?q=12" is "12", and what is empty is left out. */
export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

export function stringifySearch(fields: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** A field of the address, cut to `limit` characters; undefined when it is not there. */
export function field(fields: Record<string, unknown>, name: string, limit = 256): string | undefined {
  const value = fields[name];
  return typeof value === "string" && value ? value.slice(0, limit) : undefined;
}
