import { tokenStore } from "../auth/tokenStore";
import { useToken, useWriteAccess } from "../auth/useWriteAccess";
import { Icon } from "../components/Icon";
import { ConnectionState } from "./ConnectionState";
import { overlays } from "./overlayStore";
import { ThemeSwitch } from "./ThemeSwitch";

export function TopBar() {
  const { token } = useToken();
  const access = useWriteAccess();
  return (
    <header className="topbar">
      <button type="button" className="command-button" onClick={() => overlays.show("command")}>
        <Icon name="search" size={14} />
        <span>Go to a run…</span>
        <kbd>Ctrl K</kbd>
      </button>
      <div className="topbar-right">
        {access.allowed ? null : (
          <button
            type="button"
            className="pill"
            title={access.reason}
            disabled={!access.canEnterToken}
            onClick={() => tokenStore.ask(access.reason)}
          >
            <Icon name="key" size={13} />
            Read-only
          </button>
        )}
        <ConnectionState />
        {token ? (
          <button
            type="button"
            className="icon-button"
            aria-label="Token"
            title="Token"
            onClick={() => tokenStore.ask("A token is in use.")}
          >
            <Icon name="key" />
          </button>
        ) : null}
        <ThemeSwitch />
        <button
          type="button"
          className="icon-button keyboard-help"
          aria-label="Keyboard shortcuts"
          title="Keyboard shortcuts (?)"
          onClick={() => overlays.show("help")}
        >
          <Icon name="keyboard" />
        </button>
      </div>
    </header>
  );
}
