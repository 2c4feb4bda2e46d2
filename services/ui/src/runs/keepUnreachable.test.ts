import { expect, it } from "vitest";
import { aRun } from "../../test/samples";
import { byAgent, keepUnreachable } from "./keepUnreachable";

const one = aRun({ run_id: "one", agent: "a", create_time: "2026-11-25T12:00:03.000Z" });
const two = aRun({ run_id: "two", agent: "b", create_time: "2026-11-25T12:00:02.000Z" });
const three = aRun({ run_id: "three", agent: "a", create_time: "2026-11-25T12:00:01.000Z" });

it("keeps the rows of an agent that is away, in their place", () => {
  const last = byAgent([one, two, three]);
  expect(keepUnreachable([one, three], ["b"], last).map((run) => run.run_id)).toEqual(["one", "two", "three"]);
});

it("shows no row twice, and drops rows of an agent that answers without them", () => {
  const last = byAgent([one, two, three]);
  expect(keepUnreachable([one, two], ["b"], last)).toHaveLength(2);
  expect(keepUnreachable([one], [], last)).toEqual([one]);
});
