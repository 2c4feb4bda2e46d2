import type { Life, SpanStatus } from "./spans";
import { numberOf, type RunEvent, textOf } from "./wire";

export interface Mark {
  readonly title: string;
  readonly detail: string;
  /** Belongs to the run as a whole, not to a hop. */
  readonly ofRun: boolean;
}

/** A moment in words, also for a type of event that is not known here. */
export function describeMark(event: RunEvent): Mark {
  const { data } = event;
  switch (event.type) {
    case "RunCompleted":
      return { title: "Ended", detail: sentence(textOf(data, "outcome"), textOf(data, "reason")), ofRun: true };
    case "RunRestored": {
      const source = textOf(data, "backup_id");
      return {
        title: "Restored",
        detail: sentence(source && `from backup ${source}`, textOf(data, "reason")),
        ofRun: true,
      };
    }
    case "ReviewCycle": {
      const cycle = numberOf(data, "cycle");
      const most = numberOf(data, "max_cycles");
      return {
        title: "Review",
        detail: `cycle ${cycle ?? "?"} of ${most ?? "?"}: ${textOf(data, "verdict")}`,
        ofRun: false,
      };
    }
    case "HopRefused":
      return { title: "Hop refused", detail: textOf(data, "reason"), ofRun: true };
    case "MessageRefused":
      return { title: "Message refused", detail: textOf(data, "reason"), ofRun: false };
    case "MessageDelivered":
      return { title: "Message received", detail: "", ofRun: !event.step };
    case "ObservabilityChanged":
      return { title: "Observability", detail: sentence(textOf(data, "mode"), textOf(data, "cause")), ofRun: true };
    default:
      return {
        title: inWords(event.type),
        detail: textOf(data, "reason") || textOf(data, "message"),
        ofRun: !event.step,
      };
  }
}

/** What becomes of something that was going on when the run ended. */
export function endedStatus(outcome: string): SpanStatus {
  return outcome === "Cancelled" || outcome === "Completed" ? "stopped" : "failed";
}

/** "DiskFailure" becomes "Disk failure". */
export function inWords(name: string): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(" ");
  return words.map((word, place) => (place ? word.toLowerCase() : word)).join(" ");
}

/** Why a process began, as it is said after "started" or "resumed". */
export function startCause(cause: string): string {
  switch (cause) {
    case "crash":
      return "after a crash";
    case "restart":
      return "after a restart";
    case "disk failure":
      return "after a failure of its disk";
    case "restore":
      return "after a restore";
    case "first":
      return "for the first time";
    default:
      return cause ? `after: ${cause}` : "";
  }
}

/** How a process came to the run: "resumed after a crash", or "begun" where the run did not go on in it at once. */
export function lifeBegin(life: Life): string {
  if (!life.cause) return "from the begin";
  const often = life.starts > 1 ? `, at the start number ${life.starts}` : "";
  return `${life.resumed ? "resumed" : "begun"} ${startCause(life.cause)}${often}`;
}

function sentence(...parts: string[]): string {
  return parts.filter(Boolean).join(": ");
}
