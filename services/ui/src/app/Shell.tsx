import { Link, Outlet } from "@tanstack/react-router";
import { TokenDialog } from "../auth/TokenDialog";
import { Icon, type IconName } from "../components/Icon";
import { Toasts } from "../components/Toasts";
import { AwayBanner } from "./AwayBanner";
import { CommandDialog } from "./CommandDialog";
import { LiveRegion } from "./LiveRegion";
import { ShortcutHelp } from "./ShortcutHelp";
import { TopBar } from "./TopBar";
import { useConnectionNews } from "./useConnectionNews";
import { useGlobalShortcuts } from "./useGlobalShortcuts";
import { WaitingCount } from "./WaitingCount";

const PAGES = [
  { to: "/", label: "Overview", icon: "overview" },
  { to: "/runs", label: "Runs", icon: "runs" },
  { to: "/messages", label: "Messages", icon: "messages" },
  { to: "/backups", label: "Backups", icon: "backups" },
] as const satisfies readonly { to: string; label: string; icon: IconName }[];

/** What stands around every page. */
export function Shell() {
  useGlobalShortcuts();
  useConnectionNews();
  return (
    <div className="shell">
      <button type="button" className="skip-link" onClick={skipToMain}>
        Skip to content
      </button>
      <nav className="sidebar" aria-label="Pages">
        <Link to="/" className="brand" aria-label="Milepost">
          <svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="8" fill="var(--accent)" />
            <path
              d="M9 25V8h14l-3.5 4.25L23 16.5H12.5V25"
              fill="none"
              stroke="var(--on-accent)"
              strokeWidth="2.6"
              strokeLinejoin="round"
              strokeLinecap="round"
            />
          </svg>
          <span>Milepost</span>
        </Link>
        <ul className="nav">
          {PAGES.map((page) => (
            <li key={page.to}>
              <Link to={page.to} className="nav-link" activeOptions={{ exact: page.to === "/", includeSearch: false }}>
                <Icon name={page.icon} />
                <span>{page.label}</span>
                {page.to === "/" ? <WaitingCount /> : null}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <div className="body">
        <TopBar />
        <AwayBanner />
        <main id="main" tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <LiveRegion />
      <Toasts />
      <TokenDialog />
      <ShortcutHelp />
      <CommandDialog />
    </div>
  );
}

function skipToMain(): void {
  document.getElementById("main")?.focus();
}
