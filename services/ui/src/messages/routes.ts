import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../app/rootRoute";

export const messagesRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/messages",
  component: lazyRouteComponent(() => import("./MessagesPage"), "MessagesPage"),
});
