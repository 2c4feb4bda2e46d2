import { PageHead } from "../components/PageHead";

export function BackupsPage() {
  return <PageHead title="Backups" />;
}
