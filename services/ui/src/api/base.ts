/** Path that everything lies below, with a slash at both ends; from <base>, which the gateway writes. */
export function basePath(documentBase: string = document.baseURI): string {
  const path = new URL(documentBase).pathname;
  return path.endsWith("/") ? path : path.slice(0, path.lastIndexOf("/") + 1);
}

export type QueryValue = string | number | undefined | null;

/** URL of the gateway's API below the base; parts of a path must be encoded by the caller, see `segment`. */
export function apiUrl(path: string, query: Record<string, QueryValue> = {}): string {
  const url = new URL(`${basePath()}api/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

export function segment(value: string): string {
  return encodeURIComponent(value);
}
