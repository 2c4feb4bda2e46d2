/** "Resumed 2 times: after a crash, after a restart"; empty when it never was. */
export function recoveriesText(count: number, causes: readonly string[]): string {
  const times = Math.max(count, causes.length);
  if (times === 0) return "";
  const kinds = [...new Set(causes)].filter(Boolean);
  const often = times === 1 ? "once" : times === 2 ? "twice" : `${times} times`;
  return `Resumed ${often}${kinds.length > 0 ? ` after a ${kinds.join(", a ")}` : ""}`;
}
