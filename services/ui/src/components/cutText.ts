/** The first `limit` characters; a surrogate pair is not torn apart. */
export function cutText(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const code = text.charCodeAt(limit - 1);
  return text.slice(0, code >= 0xd800 && code <= 0xdbff ? limit - 1 : limit);
}

/** One line of at most `limit` characters, for a row of a table. */
export function oneLine(text: string, limit = 240): string {
  const start = cutText(text, limit * 2)
    .replace(/\s+/g, " ")
    .trim();
  const line = cutText(start, limit);
  return line.length < start.length || text.length > limit * 2 ? `${line}…` : line;
}
