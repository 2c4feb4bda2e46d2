import { beforeEach, expect, it } from "vitest";
import { aRun } from "../../test/samples";
import { Dismissals } from "./dismissals";
import { wantsALook } from "./useWaiting";

beforeEach(() => localStorage.clear());

it("keeps what was dismissed over a reload, with what another tab dismissed", () => {
  const [one, other] = [new Dismissals(localStorage), new Dismissals(localStorage)];
  one.add("a");
  other.add("b");
  expect([...new Dismissals(localStorage).get()]).toEqual(["a", "b"]);
});

it("forgets the oldest instead of growing for ever", () => {
  const store = new Dismissals(localStorage);
  for (let number = 0; number < 501; number += 1) store.add(`run-${number}`);
  expect(store.get().size).toBe(500);
  expect(store.get().has("run-0")).toBe(false);
  expect(store.get().has("run-500")).toBe(true);
});

it.each(["no json", "7", '{"a":1}', "[1,null]"])("begins anew where the storage holds %s", (text) => {
  localStorage.setItem("milepost.dismissed", text);
  expect(new Dismissals(localStorage).get().size).toBe(0);
});

it("lists a run for a week after it ended, unless it was dismissed", () => {
  const run = aRun({ state: "ended", outcome: "NeedsAttention", end_time: "2026-11-01T12:00:00.000Z" });
  const at = (time: string) => wantsALook(run, Date.parse(time), new Set());
  expect(at("2026-11-08T11:59:00.000Z")).toBe(true);
  expect(at("2026-11-08T12:01:00.000Z")).toBe(false);
  expect(wantsALook(run, Date.parse("2026-11-02T12:00:00.000Z"), new Set([run.run_id]))).toBe(false);
  expect(wantsALook({ ...run, outcome: "Failed" }, Date.parse("2026-11-02T12:00:00.000Z"), new Set())).toBe(false);
});
