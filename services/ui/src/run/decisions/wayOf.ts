const WAYS: Record<string, string> = {
  language_model: "by the language model",
  embedding: "by the meaning of the words (embedding)",
  keywords: "by keywords",
};

/** How the router ranked, as it is said after "ranked"; a path that is not known here is told by its name. */
export function wayOf(path: string): string {
  return (Object.hasOwn(WAYS, path) ? WAYS[path] : undefined) ?? `by its path “${path.slice(0, 60)}”`;
}
