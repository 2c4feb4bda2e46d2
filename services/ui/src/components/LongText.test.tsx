import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { LongText } from "./LongText";

it("shows markup as text", () => {
  const { container } = render(<LongText text={'<img src=x onerror="boom()"><b>bold</b>'} />);
  expect(container.querySelector("img, b")).toBeNull();
  expect(screen.getByText(/<b>bold<\/b>/)).toBeInTheDocument();
});

it("shows a megabyte only when asked to", async () => {
  const { container } = render(<LongText text={"x".repeat(1_000_000)} limit={1000} />);
  expect(container.textContent?.length).toBeLessThan(1100);
  await userEvent.click(screen.getByRole("button", { name: /999,000 more characters/ }));
  expect(container.querySelector("pre")?.textContent).toHaveLength(1_000_000);
});
