import { createRootRoute } from "@tanstack/react-router";
import { NotFound } from "./NotFound";
import { PageFault } from "./PageFault";
import { Shell } from "./Shell";

export const rootRoute = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: PageFault });
