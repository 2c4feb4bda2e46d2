import { PageHead } from "../components/PageHead";

export function MessagesPage() {
  return <PageHead title="Messages" />;
}
