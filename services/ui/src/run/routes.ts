import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../app/rootRoute";

const runRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/runs/$runId",
  component: lazyRouteComponent(() => import("./RunPage"), "RunPage"),
});

export const runRoutes = runRoute;
