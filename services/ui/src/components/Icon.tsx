const PATHS = {
  check: "M3.5 8.5l3 3 6-7",
  cross: "M4 4l8 8M12 4l-8 8",
  alert: "M8 2.2L14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1",
  clock: "M8 4.5V8l2.4 1.6M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12z",
  play: "M5 3.2v9.6l7.5-4.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  stop: "M4 4h8v8H4z",
  dot: "M8 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  ring: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10z",
  dashed: "M8 3a5 5 0 0 1 3.5 1.4M13 8a5 5 0 0 1-1.5 3.6M8 13a5 5 0 0 1-3.6-1.5M3 8a5 5 0 0 1 1.4-3.5",
  question: "M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 11.6v.1M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z",
  search: "M7.2 11.8a4.6 4.6 0 1 0 0-9.2 4.6 4.6 0 0 0 0 9.2zM10.6 10.6L14 14",
  plus: "M8 3v10M3 8h10",
  arrow: "M3 8h10M9.2 4.2L13 8l-3.8 3.8",
  chevron: "M6 3.8L10.2 8 6 12.2",
  copy: "M5.5 5.5h7.5v7.5H5.5zM10.5 5.3V3H3v7.5h2.3",
  download: "M8 2.5v8M4.6 7.4L8 10.8l3.4-3.4M3 13.5h10",
  restore: "M3 8a5 5 0 1 0 1.6-3.7M3 2.6v2.6h2.6",
  external: "M6.5 3.5h-3v9h9v-3M9 3h4v4M13 3L7.6 8.4",
  sun: "M8 10.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  moon: "M13 9.4A5.6 5.6 0 0 1 6.6 3 5.4 5.4 0 1 0 13 9.4z",
  screen: "M2 3.2h12v7.6H2zM5.5 13.2h5M8 10.8v2.4",
  key: "M9.6 6.4a3.2 3.2 0 1 0-6.4 0 3.2 3.2 0 0 0 6.4 0zM8.8 8.8L13.4 13.4M11.4 11.4l1.4-1.4",
  overview: "M2.5 2.5h4.6v4.6H2.5zM8.9 2.5h4.6v4.6H8.9zM2.5 8.9h4.6v4.6H2.5zM8.9 8.9h4.6v4.6H8.9z",
  runs: "M2.5 4h7M2.5 8h11M5.5 12h8",
  messages: "M2.5 3h11v8H7l-3 2.6V11H2.5z",
  backups:
    "M2.5 4.2c0-1 2.4-1.8 5.5-1.8s5.5.8 5.5 1.8S11.1 6 8 6 2.5 5.2 2.5 4.2zM2.5 4.2v7.6c0 1 2.4 1.8 5.5 1.8s5.5-.8 5.5-1.8V4.2M2.5 8c0 1 2.4 1.8 5.5 1.8s5.5-.8 5.5-1.8",
  keyboard: "M1.8 4h12.4v8H1.8zM4.2 6.6h.1M6.7 6.6h.1M9.2 6.6h.1M11.7 6.6h.1M5 9.5h6",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  server: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
  pulse: "M1.5 8h3l2-4.5 3 9 2-4.5h3",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside text; it says nothing of its own to a screen reader. */
export function Icon({ name, size = 16, className }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg
      className={`icon ${className ?? ""}`}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
