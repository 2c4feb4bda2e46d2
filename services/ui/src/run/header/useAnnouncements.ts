import { useEffect, useRef } from "react";
import type { Run } from "../../api/types";
import { announce } from "../../app/announcer";
import { runLook } from "../../components/status";
import { startCause } from "../model/marks";
import type { RunModel } from "../model/runModel";

/** Tells a screen reader when the run changes its state, or goes on in a new process. */
export function useAnnouncements(run: Run | undefined, model: RunModel): void {
  const word = run ? runLook(run).word : "";
  const said = useRef("");
  const lives = model.timeline.lives.length;
  const livesSaid = useRef(0);

  useEffect(() => {
    if (said.current && word && said.current !== word) announce(`The run is now: ${word}`);
    if (word) said.current = word;
  }, [word]);

  useEffect(() => {
    const life = model.timeline.lives.at(-1);
    if (livesSaid.current > 0 && lives > livesSaid.current && life) {
      announce(`${life.resumed ? "The run goes on" : "The agent was started again"} ${startCause(life.cause)}`);
    }
    livesSaid.current = lives;
  }, [lives, model]);
}
