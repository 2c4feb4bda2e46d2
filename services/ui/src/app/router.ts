import { createRouter } from "@tanstack/react-router";
import { basePath } from "../api/base";
import { backupsRoute } from "../backups/routes";
import { messagesRoute } from "../messages/routes";
import { overviewRoute } from "../overview/routes";
import { runRoutes } from "../run/routes";
import { runsRoute } from "../runs/routes";
import { rootRoute } from "./rootRoute";
import { parseSearch, stringifySearch } from "./searchParams";

export const routeTree = rootRoute.addChildren([overviewRoute, runsRoute, runRoutes, messagesRoute, backupsRoute]);

export const router = createRouter({
  routeTree,
  basepath: basePath(),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
