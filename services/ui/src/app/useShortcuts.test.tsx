import { fireEvent, render, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type Shortcuts, useShortcuts } from "./useShortcuts";

function Page({ shortcuts, dialog }: { shortcuts: Shortcuts; dialog?: boolean }) {
  useShortcuts(shortcuts);
  return (
    <>
      <input aria-label="field" />
      {dialog ? <div role="dialog" /> : null}
    </>
  );
}

it("hears a key and two keys one after the other", () => {
  const help = vi.fn();
  const runs = vi.fn();
  render(<Page shortcuts={{ "?": help, "g r": runs }} />);
  fireEvent.keyDown(document.body, { key: "r" });
  expect(runs).not.toHaveBeenCalled();
  fireEvent.keyDown(document.body, { key: "g" });
  fireEvent.keyDown(document.body, { key: "r" });
  fireEvent.keyDown(document.body, { key: "?" });
  expect(runs).toHaveBeenCalledTimes(1);
  expect(help).toHaveBeenCalledTimes(1);
});

it("leaves keys alone while somebody types, with a modifier, or in a dialog", () => {
  const help = vi.fn();
  const { rerender } = render(<Page shortcuts={{ "?": help }} />);
  fireEvent.keyDown(screen.getByLabelText("field"), { key: "?" });
  fireEvent.keyDown(document.body, { key: "?", ctrlKey: true });
  rerender(<Page shortcuts={{ "?": help }} dialog />);
  fireEvent.keyDown(document.body, { key: "?" });
  expect(help).not.toHaveBeenCalled();
});
