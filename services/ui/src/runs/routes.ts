import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../app/rootRoute";
import { runsSearch } from "./runsSearch";

export const runsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/runs",
  validateSearch: runsSearch,
  component: lazyRouteComponent(() => import("./RunsPage"), "RunsPage"),
});
