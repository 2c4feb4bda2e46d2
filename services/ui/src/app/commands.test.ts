import { expect, it } from "vitest";
import { aRun } from "../../test/samples";
import { commandsFor } from "./commands";

const ID = "0b5c2f7e-0000-4000-8000-000000000009";

it("offers pages before anything is typed, and those that match after", () => {
  expect(commandsFor("", []).map((command) => command.id)).toEqual(["overview", "runs", "messages", "backups", "new"]);
  expect(commandsFor("back", []).map((command) => command.id)).toEqual(["backups", "search"]);
});

it("goes to a run by its id, also one that was not found", () => {
  expect(commandsFor(` ${ID} `, [])).toMatchObject([{ to: "/runs/$runId", runId: ID }]);
});

it("goes to the run that a correlation id belongs to", () => {
  const run = aRun({ correlation_id: ID });
  expect(commandsFor(ID, [run])).toMatchObject([{ runId: run.run_id }]);
});

it("offers the runs that were found and a search for the rest", () => {
  const commands = commandsFor("lists", [aRun({ prompt: "Merge two lists" })]);
  expect(commands.map((command) => command.label)).toEqual(["Merge two lists", "Search runs for “lists”"]);
  expect(commands.at(-1)?.search).toEqual({ q: "lists" });
});
