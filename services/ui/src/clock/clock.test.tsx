import { act, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Countdown } from "../components/Countdown";
import { Time } from "../components/Time";
import { Clock, clock } from "./clock";

describe("Clock", () => {
  it("goes by the server, also when the local clock is wrong or set while it runs", () => {
    let monotonic = 1000;
    let wall = Date.parse("2030-01-01T00:00:00Z");
    const own = new Clock(
      () => monotonic,
      () => wall,
    );
    expect(own.now()).toBe(wall);
    own.observe("2026-11-25T12:00:00.000Z");
    monotonic += 5000;
    wall -= 86_400_000;
    expect(new Date(own.now()).toISOString()).toBe("2026-11-25T12:00:05.000Z");
  });

  it("takes a measurement at the middle of its request, and none that is no time", () => {
    const own = new Clock(
      () => 2000,
      () => 0,
    );
    own.observe("2026-11-25T12:00:00.000Z", 1900);
    own.observe("nonsense");
    expect(new Date(own.now()).toISOString()).toBe("2026-11-25T12:00:00.100Z");
  });
});

describe("what shows time", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date", "performance"] });
    vi.setSystemTime("2026-11-25T15:30:00.000Z");
    clock.observe("2026-11-25T12:00:00.000Z");
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("counts down by the server's clock, three and a half hours beside the local one", () => {
    render(<Countdown until="2026-11-25T12:10:00.000Z" />);
    expect(screen.getByRole("timer")).toHaveTextContent("10:00");
    act(() => {
      vi.advanceTimersByTime(61_000);
    });
    expect(screen.getByRole("timer")).toHaveTextContent("8:59");
  });

  it("shows an age by the server's clock", () => {
    render(<Time at="2026-11-25T11:59:30.000Z" />);
    expect(screen.getByText("30 s ago")).toBeInTheDocument();
  });
});
