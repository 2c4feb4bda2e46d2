import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { CONFIG, renderWithApp } from "../../test/withApp";
import { TokenDialog } from "./TokenDialog";
import { tokenStore } from "./tokenStore";
import { useWriteAccess } from "./useWriteAccess";

const READ_ONLY = { ...CONFIG, writable: false, token_required: true };

beforeEach(() => {
  tokenStore.forget();
  tokenStore.close();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

function Page() {
  useWriteAccess();
  return <TokenDialog />;
}

async function enter(token: string, config: () => unknown): Promise<HTMLElement> {
  tokenStore.ask("Read-only.");
  await renderWithApp(<TokenDialog />, { "GET config": config });
  const field = screen.getByLabelText("Token", { selector: "input" });
  await userEvent.type(field, `${token}{Enter}`);
  return field;
}

it("says beside the field that a token is wrong, and keeps it to be mended", async () => {
  const field = await enter("wrong", () => READ_ONLY);
  expect(await screen.findByRole("alert")).toHaveTextContent("does not know this token");
  expect(field).toHaveAccessibleDescription(/does not know this token/);
  expect(field).toBeInvalid();
  expect(field).toHaveFocus();
  expect(tokenStore.get().token).toBeNull();
});

it("says the same where reading needs a token too", async () => {
  await enter("wrong", () => new Response("", { status: 401 }));
  expect(await screen.findByRole("alert")).toHaveTextContent("does not know this token");
});

it("knows a token that no request can carry", async () => {
  await enter("жетон", () => CONFIG);
  expect(await screen.findByRole("alert")).toHaveTextContent("does not know this token");
});

it("does not call a token wrong when the gateway cannot say", async () => {
  await enter("right", () => new Response("", { status: 503 }));
  expect(await screen.findByRole("alert")).toHaveTextContent("could not be checked");
});

it("takes a right token and closes", async () => {
  await enter("right", () => CONFIG);
  await waitFor(() => expect(tokenStore.get()).toEqual({ token: "right", asking: null }));
  expect(screen.queryByRole("dialog")).toBeNull();
});

it("asks for another when the token of the link or of an earlier gateway is not known", async () => {
  tokenStore.set("old");
  await renderWithApp(<Page />, { "GET config": () => READ_ONLY });
  expect(await screen.findByRole("dialog")).toHaveTextContent("The gateway did not accept the token.");
  expect(tokenStore.get().token).toBeNull();
});
