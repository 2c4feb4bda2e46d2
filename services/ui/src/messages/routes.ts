import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../app/rootRoute";
import { messagesSearch } from "./messagesSearch";

export const messagesRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/messages",
  validateSearch: messagesSearch,
  component: lazyRouteComponent(() => import("./MessagesPage"), "MessagesPage"),
});
