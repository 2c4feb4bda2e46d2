import { describe, expect, it } from "vitest";
import { parseSearch, stringifySearch } from "../app/searchParams";
import { isFiltered, runsSearch } from "./runsSearch";

describe("the address of the runs", () => {
  it("holds the filter as plain text and gives it back", () => {
    const search = { q: "12 & <b>", workflow: "code-review", state: "waiting", outcome: undefined, new: undefined };
    const text = stringifySearch(search);
    expect(text).toBe("?q=12+%26+%3Cb%3E&workflow=code-review&state=waiting");
    expect(runsSearch(parseSearch(text))).toEqual(search);
  });

  it("is empty when nothing is filtered", () => {
    expect(stringifySearch({ ...runsSearch(parseSearch("?q=&state=")) })).toBe("");
  });

  it("cuts what is too long for the gateway and keeps states that it does not know", () => {
    expect(runsSearch({ q: "x".repeat(300), state: "sleeping" })).toMatchObject({
      q: "x".repeat(256),
      state: "sleeping",
    });
  });

  it("is no filter when only the form is open", () => {
    expect(isFiltered({ new: "1" })).toBe(false);
    expect(isFiltered({ outcome: "Failed" })).toBe(true);
  });
});
