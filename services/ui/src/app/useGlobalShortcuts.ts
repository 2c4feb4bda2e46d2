import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { overlays } from "./overlayStore";
import { useShortcuts } from "./useShortcuts";

export function useGlobalShortcuts(): void {
  const navigate = useNavigate();
  const go = (to: "/" | "/runs" | "/messages" | "/backups") => () => {
    void navigate({ to });
  };
  useShortcuts({
    "?": () => overlays.show("help"),
    "g o": go("/"),
    "g r": go("/runs"),
    "g m": go("/messages"),
    "g b": go("/backups"),
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey)
        return;
      event.preventDefault();
      overlays.show("command");
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}
