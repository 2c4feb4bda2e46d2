import { useWaiting } from "../pending/useWaiting";

/** How many runs wait for a person, beside the page on which they are answered. */
export function WaitingCount() {
  const { runs: waiting } = useWaiting();
  if (waiting.length === 0) return null;
  return (
    <span className="nav-count">
      {waiting.length > 99 ? "99+" : waiting.length}
      <span className="visually-hidden"> {waiting.length === 1 ? "waits" : "wait"} for a person</span>
    </span>
  );
}
