const UNITS: [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** Milliseconds as "350 ms", "4.2 s", "3 min 20 s", "2 h 5 min". */
export function formatDuration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return "–";
  if (milliseconds < 0) return `−${formatDuration(-milliseconds)}`;
  if (milliseconds < 1) return milliseconds === 0 ? "0 ms" : `${milliseconds.toFixed(2)} ms`;
  if (milliseconds < 10) return `${trim(milliseconds.toFixed(1))} ms`;
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${trim((milliseconds / 1000).toFixed(1))} s`;
  return twoUnits(Math.round(milliseconds / 1000));
}

/** Whole seconds as a countdown: "9:58", "1:02:03". Never below zero. */
export function formatCountdown(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const pad = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${pad(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

/** "just now", "12 s ago", "in 3 min": `time` against `now`, both in milliseconds of the server. */
export function formatAgo(time: number, now: number): string {
  if (!Number.isFinite(time)) return "–";
  const seconds = Math.round((now - time) / 1000);
  if (Math.abs(seconds) < 2) return "just now";
  const amount = oneUnit(Math.abs(seconds));
  return seconds > 0 ? `${amount} ago` : `in ${amount}`;
}

/** Milliseconds of an ISO time; NaN when there is none. */
export function timeOf(iso: string | null | undefined): number {
  return iso ? Date.parse(iso) : Number.NaN;
}

export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "–";
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function formatCount(count: number): string {
  return new Intl.NumberFormat("en").format(count);
}

/** Date and time of the viewer's zone, for a tooltip or a detail. */
export function formatTime(iso: string | null | undefined): string {
  const time = timeOf(iso);
  if (!Number.isFinite(time)) return "–";
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }).format(time);
}

function trim(number: string): string {
  return number.replace(/\.0$/, "");
}

function oneUnit(seconds: number): string {
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return "0 s";
}

function twoUnits(seconds: number): string {
  const index = UNITS.findIndex(([, size]) => seconds >= size);
  const [unit, size] = UNITS[index] ?? ["s", 1];
  const whole = `${Math.floor(seconds / size)} ${unit}`;
  const next = UNITS[index + 1];
  if (!next) return whole;
  const rest = Math.floor((seconds % size) / next[1]);
  return rest ? `${whole} ${rest} ${next[0]}` : whole;
}
