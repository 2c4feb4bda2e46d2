import { createRoute, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { rootRoute } from "../app/rootRoute";
import { readSearch } from "./search";

const runRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/runs/$runId",
  validateSearch: readSearch,
  component: lazyRouteComponent(() => import("./RunPage"), "RunPage"),
});

const indexRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "/",
  beforeLoad: ({ params, search }) => {
    throw redirect({ to: "/runs/$runId/timeline", params, search, replace: true });
  },
});

const timelineRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "timeline",
  component: lazyRouteComponent(() => import("./timeline/TimelineView"), "TimelineView"),
});

const graphRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "graph",
  component: lazyRouteComponent(() => import("./graph/GraphView"), "GraphView"),
});

const decisionsRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "decisions",
  component: lazyRouteComponent(() => import("./decisions/DecisionsView"), "DecisionsView"),
});

const answersRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "answers",
  component: lazyRouteComponent(() => import("./answers/AnswersView"), "AnswersView"),
});

const messagesRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "messages",
  component: lazyRouteComponent(() => import("./messages/RunMessagesView"), "RunMessagesView"),
});

const eventsRoute = createRoute({
  getParentRoute: () => runRoute,
  path: "events",
  component: lazyRouteComponent(() => import("./events/EventsView"), "EventsView"),
});

export const runRoutes = runRoute.addChildren([
  indexRoute,
  timelineRoute,
  graphRoute,
  decisionsRoute,
  answersRoute,
  messagesRoute,
  eventsRoute,
]);
