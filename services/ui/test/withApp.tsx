import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  RouterProvider,
} from "@tanstack/react-router";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";

interface Call {
  method: string;
  path: string;
  body: unknown;
}

/** Renders a part of a page with a router and a gateway whose answers the test gives, by method and path. */
export async function renderWithApp(part: ReactNode, answers: Record<string, () => unknown>) {
  const calls: Call[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const call = {
      method: init.method ?? "GET",
      path: new URL(url).pathname.replace("/api/", ""),
      body: init.body ? JSON.parse(String(init.body)) : null,
    };
    calls.push(call);
    const answer = answers[`${call.method} ${call.path}`]?.();
    if (answer instanceof Response) return answer;
    return new Response(JSON.stringify(answer ?? { error: { code: "", message: "none" } }), {
      status: answer ? 200 : 404,
    });
  });
  const root = createRootRoute({ component: Outlet });
  const home = createRoute({ getParentRoute: () => root, path: "/", component: () => part });
  const run = createRoute({ getParentRoute: () => root, path: "/runs/$runId", component: () => "the page of the run" });
  const router = createRouter({
    routeTree: root.addChildren([home, run]),
    history: createMemoryHistory({ initialEntries: ["/"] }),
  });
  await router.load();
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <RouterProvider router={router as never} />
    </QueryClientProvider>,
  );
  return { calls, router };
}

export const CONFIG = {
  version: "1",
  server_time: "2026-11-25T12:00:00.000Z",
  writable: true,
  token_required: false,
  mode: "local",
};
