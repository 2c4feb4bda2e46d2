/** Shown while something is read for the first time. */
export function Loading({ what }: { what: string }) {
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" /> Reading {what}…
    </p>
  );
}
