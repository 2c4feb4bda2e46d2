/** Journal sequence of each agent: up to where this page has heard everything. */
export type Cursor = ReadonlyMap<string, number>;

/** "AGENT=SEQ;AGENT=SEQ"; parts that are no such pair are left out. */
export function parseCursor(text: string): Cursor {
  const cursor = new Map<string, number>();
  for (const part of text.split(";")) {
    const at = part.lastIndexOf("=");
    const sequence = Number(part.slice(at + 1));
    if (at > 0 && part.length > at + 1 && Number.isSafeInteger(sequence)) cursor.set(part.slice(0, at), sequence);
  }
  return cursor;
}

export function formatCursor(cursor: Cursor): string {
  return [...cursor].map(([agent, sequence]) => `${agent}=${sequence}`).join(";");
}

/** Whether the event was heard before: after a reconnection some may come twice. */
export function isKnown(cursor: Cursor, agent: string, sequence: number): boolean {
  return sequence <= (cursor.get(agent) ?? -1);
}

export function advance(cursor: Cursor, agent: string, sequence: number): Cursor {
  return new Map(cursor).set(agent, sequence);
}
