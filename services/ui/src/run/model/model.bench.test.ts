import { expect, it } from "vitest";
import { rowsOf } from "./rows";
import { RunModel } from "./runModel";
import { longJournal } from "./sample";

const EVENTS = 5000;

it("reads 5,000 events, and one more, in times that it prints", () => {
  const text = JSON.stringify(longJournal(EVENTS + 1));
  const started = performance.now();
  const events = JSON.parse(text) as unknown[];
  const parsed = performance.now();
  const model = new RunModel();
  model.add(events.slice(0, EVENTS));
  const projected = performance.now();
  const rows = rowsOf(model.timeline, () => true);
  const listed = performance.now();
  model.add(events.slice(EVENTS));
  const added = performance.now();
  expect(model.log.events).toHaveLength(EVENTS + 1);
  expect(rows.length).toBeGreaterThan(EVENTS / 2);
  const ms = (from: number, to: number) => Number((to - from).toFixed(2));
  process.stdout.write(
    `${JSON.stringify({
      events: EVENTS,
      parse_ms: ms(started, parsed),
      project_ms: ms(parsed, projected),
      rows: rows.length,
      rows_ms: ms(projected, listed),
      one_more_ms: ms(listed, added),
    })}\n`,
  );
});
