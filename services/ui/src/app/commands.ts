import type { ListedRun } from "../api/types";
import { oneLine } from "../components/cutText";
import type { IconName } from "../components/Icon";

export interface Command {
  id: string;
  icon: IconName;
  label: string;
  note: string;
  to: "/" | "/runs" | "/messages" | "/backups" | "/runs/$runId";
  runId?: string;
  search?: { q?: string; new?: string };
}

const PAGES: Command[] = [
  { id: "overview", icon: "overview", label: "Overview", note: "Page", to: "/" },
  { id: "runs", icon: "runs", label: "Runs", note: "Page", to: "/runs" },
  { id: "messages", icon: "messages", label: "Messages", note: "Page", to: "/messages" },
  { id: "backups", icon: "backups", label: "Backups", note: "Page", to: "/backups" },
  { id: "new", icon: "plus", label: "New run", note: "Action", to: "/runs", search: { new: "1" } },
];

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What `text` may mean: a run by its id, runs that were found, pages; and a search when there is no id. */
export function commandsFor(text: string, found: readonly ListedRun[]): Command[] {
  const wanted = text.trim();
  const pages = PAGES.filter((page) => page.label.toLowerCase().includes(wanted.toLowerCase()));
  if (!wanted) return pages;
  const runs: Command[] = found.map((run) => ({
    id: run.run_id,
    icon: "play",
    label: oneLine(run.prompt, 80),
    note: run.workflow,
    to: "/runs/$runId",
    runId: run.run_id,
  }));
  if (UUID.test(wanted)) {
    const known = runs.length > 0;
    return known ? runs : [{ id: wanted, icon: "play", label: wanted, note: "Run", to: "/runs/$runId", runId: wanted }];
  }
  const search: Command = {
    id: "search",
    icon: "search",
    label: `Search runs for “${oneLine(wanted, 60)}”`,
    note: "Runs",
    to: "/runs",
    search: { q: wanted },
  };
  return [...pages, ...runs, search];
}
