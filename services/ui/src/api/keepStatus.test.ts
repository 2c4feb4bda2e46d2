import { expect, it } from "vitest";
import { anAgent } from "../../test/samples";
import { keepStatus } from "./keepStatus";

const seen = anAgent("a", { mode: "debug" });

it("keeps what was known of an agent that does not answer", () => {
  const away = { ...anAgent("a"), reachable: false, error: "no answer" };
  expect(keepStatus([seen], [away])[0]).toMatchObject({ reachable: false, observability: { mode: "debug" } });
});

it("keeps nothing of one that answers, and drops one that is no longer named", () => {
  expect(keepStatus([seen], [anAgent("a")])[0]?.observability).toBeNull();
  expect(keepStatus([seen], [])).toEqual([]);
  expect(keepStatus(undefined, [seen])).toEqual([seen]);
});
