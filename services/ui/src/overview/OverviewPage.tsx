import { PageHead } from "../components/PageHead";

export function OverviewPage() {
  return <PageHead title="Overview" />;
}
