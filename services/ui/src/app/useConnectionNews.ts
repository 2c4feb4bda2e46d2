import { useEffect, useRef } from "react";
import { useConnection } from "../stream/StreamProvider";
import { announce } from "./announcer";

/** Says when the page stops to be live, and when it is again. */
export function useConnectionNews(): void {
  const { connection } = useConnection();
  const away = useRef(false);
  const { phase } = connection;
  useEffect(() => {
    if (phase === "away" && !away.current) {
      away.current = true;
      announce("The gateway does not answer. What is shown may be old.");
    } else if (phase === "live" && away.current) {
      away.current = false;
      announce("The page is live again.");
    }
  }, [phase]);
}
