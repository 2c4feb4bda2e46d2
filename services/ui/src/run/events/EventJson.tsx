import { useMemo } from "react";
import { CopyButton } from "../../components/CopyButton";
import { LongText } from "../../components/LongText";
import type { RunEvent } from "../model/wire";

/** An event as it is in the journal. */
export function EventJson({ event }: { event: RunEvent }) {
  const text = useMemo(() => JSON.stringify(event, null, 2), [event]);
  return (
    <div className="event-json">
      <CopyButton text={text} label={`event ${event.sequence}`} />
      <LongText text={text} limit={6000} />
    </div>
  );
}
