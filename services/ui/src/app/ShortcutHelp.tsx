import { useSyncExternalStore } from "react";
import { Dialog } from "../components/Dialog";
import { Kbd } from "../components/Kbd";
import { overlays } from "./overlayStore";

const GROUPS: [string, [string, string][]][] = [
  [
    "Everywhere",
    [
      ["Ctrl K", "Go to a run or a page"],
      ["g o", "Overview"],
      ["g r", "Runs"],
      ["g m", "Messages"],
      ["g b", "Backups"],
      ["?", "This help"],
    ],
  ],
  [
    "Runs",
    [
      ["↓ ↑", "Next, previous row (or j, k)"],
      ["Enter", "Open the run"],
      ["x", "Select the row"],
      ["/", "Search"],
      ["n", "New run"],
      ["Esc", "Clear the selection"],
    ],
  ],
  [
    "A run",
    [
      ["1 … 6", "Timeline, graph, decisions, answers, messages, events"],
      ["↓ ↑", "Next, previous line of the timeline (or j, k)"],
      ["→ ←", "Open, close a hop"],
      ["Enter", "Open the detail"],
      ["+ − 0", "Zoom in, out, show all"],
      ["Esc", "Close the detail"],
    ],
  ],
];

export function ShortcutHelp() {
  const overlay = useSyncExternalStore(overlays.subscribe, overlays.get);
  return (
    <Dialog open={overlay === "help"} onClose={() => overlays.show(null)} title="Keyboard">
      <div className="shortcut-groups">
        {GROUPS.map(([title, keys]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl className="shortcuts">
              {keys.map(([key, meaning]) => (
                <div key={key}>
                  <dt>
                    <Kbd keys={key} />
                  </dt>
                  <dd>{meaning}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
