import { type RefObject, useEffect, useState } from "react";
import { Choice } from "../components/Choice";
import { Icon } from "../components/Icon";
import { outcomeLook, RUN_OUTCOMES, RUN_STATES, stateLook } from "../components/status";
import { isFiltered, type RunsSearch } from "./runsSearch";

const TYPING_MS = 250;

interface RunsFilterProps {
  search: RunsSearch;
  workflows: readonly string[];
  onChange: (change: Partial<RunsSearch>) => void;
  searchInput: RefObject<HTMLInputElement | null>;
}

export function RunsFilter({ search, workflows, onChange, searchInput }: RunsFilterProps) {
  return (
    <search className="filters" aria-label="Filter runs">
      <SearchField value={search.q ?? ""} onChange={(q) => onChange({ q })} input={searchInput} />
      <Choice
        label="Workflow"
        value={search.workflow ?? ""}
        options={workflows.map((workflow) => [workflow, workflow])}
        onChange={(workflow) => onChange({ workflow })}
      />
      <Choice
        label="State"
        value={search.state ?? ""}
        options={RUN_STATES.map((state) => [state, stateLook(state).word])}
        onChange={(state) => onChange({ state })}
      />
      <Choice
        label="Outcome"
        value={search.outcome ?? ""}
        options={RUN_OUTCOMES.map((outcome) => [outcome, outcomeLook(outcome).word])}
        onChange={(outcome) => onChange({ outcome })}
      />
      {isFiltered(search) ? (
        <button
          type="button"
          className="link-button nowrap"
          onClick={() => onChange({ q: undefined, workflow: undefined, state: undefined, outcome: undefined })}
        >
          Clear filter
        </button>
      ) : null}
    </search>
  );
}

interface SearchFieldProps {
  value: string;
  onChange: (value: string | undefined) => void;
  input: RefObject<HTMLInputElement | null>;
}

/** Writes into the address when somebody stops typing, and follows the address. */
function SearchField({ value, onChange, input }: SearchFieldProps) {
  const [text, setText] = useState(value);
  const [written, setWritten] = useState(value);
  if (value !== written) {
    setWritten(value);
    setText(value);
  }
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => {
      setWritten(text);
      onChange(text || undefined);
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, value, onChange]);
  return (
    <div className="search-field">
      <label>
        <span className="visually-hidden">Search in prompts, or the beginning of an id</span>
        <Icon name="search" size={14} />
        <input
          ref={input}
          className="input"
          type="search"
          aria-keyshortcuts="/"
          placeholder="Search prompts or ids"
          maxLength={256}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
      </label>
      <kbd>/</kbd>
    </div>
  );
}
