/** The journal as it comes from the gateway, read so that no field has to be there and none has to be of its type. */

export interface RunEvent {
  readonly sequence: number;
  /** Empty for an event of the agent itself. */
  readonly run_id: string;
  readonly type: string;
  /** ISO 8601, UTC. */
  readonly time: string | null;
  readonly step: string;
  readonly hop_index: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A well-formed event of what came over the wire; null when it has no sequence number to place it by. */
export function readEvent(raw: unknown): RunEvent | null {
  if (!isRecord(raw)) return null;
  const sequence = Number(raw.sequence);
  if (!Number.isSafeInteger(sequence) || sequence < 0) return null;
  return {
    sequence,
    run_id: textOf(raw, "run_id"),
    type: textOf(raw, "type") || "Unknown",
    time: typeof raw.time === "string" ? raw.time : null,
    step: textOf(raw, "step"),
    hop_index: numberOf(raw, "hop_index") ?? 0,
    data: isRecord(raw.data) ? raw.data : {},
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function textOf(record: Readonly<Record<string, unknown>>, key: string): string {
  const value = record[key];
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

export function numberOf(record: Readonly<Record<string, unknown>>, key: string): number | null {
  const value = record[key];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function flagOf(record: Readonly<Record<string, unknown>>, key: string): boolean {
  return record[key] === true;
}

export function recordsOf(record: Readonly<Record<string, unknown>>, key: string): Record<string, unknown>[] {
  const value = record[key];
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

/** Milliseconds since the epoch; `otherwise` when there is no time to be read. */
export function millis(time: string | null | undefined, otherwise: number): number {
  if (!time) return otherwise;
  const value = Date.parse(time);
  return Number.isNaN(value) ? otherwise : value;
}
