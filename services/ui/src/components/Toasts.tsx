import { useSyncExternalStore } from "react";
import { Icon } from "./Icon";
import { toasts } from "./toastStore";

export function Toasts() {
  const shown = useSyncExternalStore(toasts.subscribe, toasts.get);
  return (
    <section className="toasts" aria-label="Notices" aria-live="polite" aria-relevant="additions">
      {shown.map((toast) => (
        <div key={toast.id} className={`toast tone-${toast.tone}`}>
          <Icon name={toast.tone === "ok" ? "check" : "alert"} />
          <div className="toast-words">
            <p className="toast-title">{toast.title}</p>
            {toast.detail ? <p className="soft">{toast.detail}</p> : null}
          </div>
          <button
            type="button"
            className="icon-button"
            aria-label="Close notice"
            onClick={() => toasts.close(toast.id)}
          >
            <Icon name="cross" size={14} />
          </button>
        </div>
      ))}
    </section>
  );
}
