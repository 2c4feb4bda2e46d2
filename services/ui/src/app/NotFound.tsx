import { Link } from "@tanstack/react-router";
import { EmptyState } from "../components/EmptyState";
import { PageHead } from "../components/PageHead";

export function NotFound() {
  return (
    <>
      <PageHead title="Not found" />
      <EmptyState icon="search" title="There is no page at this address.">
        <p>
          It may have been mistyped, or belong to another version. Go to the <Link to="/">overview</Link> or to the{" "}
          <Link to="/runs">runs</Link>.
        </p>
      </EmptyState>
    </>
  );
}
