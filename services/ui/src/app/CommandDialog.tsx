import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useId, useState, useSyncExternalStore } from "react";
import { listRuns } from "../api/endpoints";
import { Dialog } from "../components/Dialog";
import { Icon } from "../components/Icon";
import { type Command, commandsFor } from "./commands";
import { overlays } from "./overlayStore";
import { useDebounced } from "./useDebounced";

const FOUND = 6;

export function CommandDialog() {
  const overlay = useSyncExternalStore(overlays.subscribe, overlays.get);
  return (
    <Dialog open={overlay === "command"} onClose={() => overlays.show(null)} title="Go to" wide>
      <Palette onDone={() => overlays.show(null)} />
    </Dialog>
  );
}

/** Goes to a page, to a run by its id, or to runs whose prompt holds a text. */
function Palette({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const navigate = useNavigate();
  const list = useId();
  const wanted = useDebounced(text.trim(), 150);
  const found = useQuery({
    queryKey: ["command", wanted],
    queryFn: ({ signal }) => listRuns({ q: wanted }, FOUND, "", signal),
    enabled: wanted.length > 0,
    placeholderData: keepPreviousData,
  });
  const commands = commandsFor(text, text.trim() ? (found.data?.runs ?? []) : []);
  const current = Math.min(active, commands.length - 1);
  const go = (command: Command | undefined) => {
    if (!command) return;
    onDone();
    if (command.runId) void navigate({ to: "/runs/$runId", params: { runId: command.runId } });
    else void navigate({ to: command.to, search: command.search ?? {} });
  };
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setActive((current + step + commands.length) % commands.length);
    else if (event.key === "Enter") go(commands[current]);
    else return;
    event.preventDefault();
  };
  return (
    <div className="palette">
      <input
        className="input"
        role="combobox"
        aria-label="Page, run id, correlation id, or words of a prompt"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={commands[current] ? `${list}-${current}` : undefined}
        aria-autocomplete="list"
        autoComplete="off"
        spellCheck={false}
        placeholder="Page, run id, or words of a prompt"
        maxLength={256}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setActive(0);
        }}
        onKeyDown={keys}
      />
      <div id={list} role="listbox" aria-label="Where to go" className="palette-list">
        {commands.map((command, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the combobox, which has the focus
          <div
            key={command.id}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === current}
            tabIndex={-1}
            className="palette-option"
            onClick={() => go(command)}
            onMouseMove={() => setActive(index)}
          >
            <Icon name={command.icon} size={14} />
            <span className="palette-label">{command.label}</span>
            <span className="faint small">{command.note}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
