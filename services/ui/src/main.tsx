import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { newQueryClient } from "./app/queryClient";
import { router } from "./app/router";
import { takeToken, tokenStore } from "./auth/tokenStore";
import { StreamProvider } from "./stream/StreamProvider";
import { startTheme } from "./theme/useTheme";
import "./theme/theme.css";
import "./theme/base.css";
import "./theme/layout.css";
import "./theme/components.css";

takeToken(window.location, window.history, tokenStore);
startTheme();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={newQueryClient()}>
      <StreamProvider>
        <RouterProvider router={router} />
      </StreamProvider>
    </QueryClientProvider>
  </StrictMode>,
);
