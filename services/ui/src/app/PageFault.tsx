import type { ErrorComponentProps } from "@tanstack/react-router";
import { messageOf } from "../api/errors";
import { Button } from "../components/Button";
import { EmptyState } from "../components/EmptyState";
import { PageHead } from "../components/PageHead";

/** A fault in one page: the shell and the other pages stay. */
export function PageFault({ error, reset }: ErrorComponentProps) {
  return (
    <>
      <PageHead title="This page failed" />
      <EmptyState icon="alert" title="This page ran into a fault of its own.">
        <p>Runs go on; nothing was changed. If the gateway was just updated, reload the page.</p>
        <p className="mono small">{messageOf(error)}</p>
        <p className="button-row">
          <Button onClick={reset}>Try again</Button>
          <Button onClick={() => window.location.reload()}>Reload</Button>
        </p>
      </EmptyState>
    </>
  );
}
