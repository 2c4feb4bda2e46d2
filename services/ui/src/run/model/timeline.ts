import type { Reader } from "./eventLog";
import { describeMark, endedStatus } from "./marks";
import {
  type HopPart,
  hopId,
  type Life,
  type Pending,
  type Segment,
  type Span,
  type SpanKind,
  type SpanStatus,
} from "./spans";
import { flagOf, isRecord, millis, numberOf, type RunEvent, recordsOf, textOf } from "./wire";

/** The waterfall of a run, grown event by event. */
export class Timeline implements Reader {
  lives: Life[] = [];
  /** Waits and pauses, in order of their begin. */
  waits: Span[] = [];
  /** Spans by id. */
  spans = new Map<string, Span>();
  start = Number.NaN;
  /** Time of the newest event. */
  end = Number.NaN;
  ended = false;
  pending: Pending | null = null;
  private parts = new Map<string, HopPart>();
  private openAttempts = new Map<string, Span>();
  private openWaits = new Map<string, Span>();
  private openMessages = new Map<string, Span>();
  private openPause: Span | null = null;
  /** Whether nothing has happened to the run since the newest process began. */
  private quiet = false;
  private lastSign = Number.NaN;

  reset(): void {
    Object.assign(this, new Timeline());
  }

  add(event: RunEvent): void {
    if (!event.run_id && (this.lives.length === 0 || this.ended)) return;
    const now = millis(event.time, Number.isNaN(this.end) ? 0 : this.end);
    if (Number.isNaN(this.start)) this.start = now;
    this.start = Math.min(this.start, now);
    if (event.type === "RunResumed") this.resume(event, now);
    else if (event.type === "AgentStarted") this.begin(event, now);
    this.end = Number.isNaN(this.end) ? now : Math.max(this.end, now);
    if (event.run_id) {
      this.lastSign = this.end;
      this.quiet = false;
    }
    if (this.lives.length === 0) this.lives.push(newLife(0, "", now, null));
    const handler = HANDLERS[event.type];
    if (handler) handler.call(this, event, now);
    else this.mark(event, now);
  }

  /** Whether a service works for the run, as far as the journal tells. */
  get working(): boolean {
    return this.openAttempts.size > 0;
  }

  private get life(): Life {
    const life = this.lives.at(-1);
    if (!life) throw new Error("a timeline has a life from its first event on");
    return life;
  }

  /** A new process has the run: what was open in the one before is lost. One that did nothing has no lane. */
  private begin(event: RunEvent, now: number): void {
    const cause = textOf(event.data, "cause") || "restart";
    if (this.quiet) {
      Object.assign(this.life, { cause, event, start: now, starts: this.life.starts + 1 });
      return;
    }
    const before = this.lives.at(-1);
    if (before) {
      before.end = this.lastSign;
      for (const span of this.openAttempts.values()) {
        this.close(span, Math.max(now, span.start), "lost");
        span.detail = "Its process ended before the answer was recorded.";
        before.lost += 1;
      }
      this.openAttempts.clear();
    }
    this.lives.push(newLife(this.lives.length, cause, now, event));
    this.quiet = true;
    const { pending } = this;
    this.pending = pending ? { ...pending, since: now } : null;
  }

  /** The new process goes on with the run; that it began may not be known, for example of an older journal. */
  private resume(event: RunEvent, now: number): void {
    if (!this.quiet) this.begin(event, now);
    const { life } = this;
    Object.assign(life, { event, resumed: true, cause: textOf(event.data, "cause") || life.cause });
    const before = this.lives.at(-2);
    if (before) before.lost = Math.max(before.lost, recordsOf(event.data, "lost").length);
    if (this.pending) this.pending = { ...this.pending, since: now };
  }

  accepted(_: RunEvent, now: number): void {
    this.pending = { kind: "recommend", step: "", since: now };
  }

  resumed(event: RunEvent, now: number): void {
    const step = textOf(event.data, "step") || event.step;
    this.pending ??= { kind: "attempt", step, since: now };
  }

  recommended(event: RunEvent, now: number): void {
    const services = recordsOf(event.data, "services");
    const best = services[0] ? textOf(services[0], "service") : "";
    const span = this.past(event, now, "recommend", "Router", best ? `recommends ${best}` : "finds no service");
    span.status = "done";
    this.pending = { kind: "decide", step: event.step, since: now };
  }

  decided(event: RunEvent, now: number): void {
    const action = textOf(event.data, "action");
    const service = textOf(event.data, "service");
    const detail = action === "invoke" ? `decides for ${service}` : action ? `decides to ${action}` : "decides";
    this.past(event, now, "decide", "Arbitrator", detail).status = "done";
    const part = this.part(event);
    part.role = textOf(event.data, "role") || part.role;
    const asks = action === "invoke" || action === "ask";
    this.pending = asks ? { kind: "attempt", step: event.step, since: now } : null;
  }

  stepStarted(event: RunEvent, now: number): void {
    const service = textOf(event.data, "service");
    const attempt = numberOf(event.data, "attempt") ?? 1;
    const key = hopKey(event);
    const open = this.openAttempts.get(key);
    if (open) this.close(open, now, "retried");
    this.letGo(event, now);
    const span = this.span(event, "attempt", now, null, service || "Service", "running");
    span.detail = attempt > 1 ? `attempt ${attempt}` : "";
    this.openAttempts.set(key, span);
    this.pending = null;
  }

  stepRetried(event: RunEvent, now: number): void {
    const span = this.attemptOf(event, now);
    this.close(span, now, "retried", event);
    span.detail = textOf(event.data, "error") || span.detail;
  }

  stepCompleted(event: RunEvent, now: number): void {
    const span = this.attemptOf(event, now);
    this.close(span, now, "done", event);
    const part = this.part(event);
    part.role = textOf(event.data, "role") || part.role;
    part.cycle = numberOf(event.data, "cycle") ?? part.cycle;
    const verdict = textOf(event.data, "verdict");
    if (verdict) span.detail = `verdict: ${verdict}`;
    else if (flagOf(event.data, "replayed")) span.detail = "answer of an earlier attempt";
    this.measure(span, event);
    this.pending = { kind: "recommend", step: "", since: now };
  }

  stepFailed(event: RunEvent, now: number): void {
    const span = this.attemptOf(event, now);
    this.close(span, now, "failed", event);
    span.detail = textOf(event.data, "message") || textOf(event.data, "reason");
  }

  stepSkipped(event: RunEvent, now: number): void {
    const span = this.span(event, "mark", now, now, "Step", "skipped");
    span.detail = "left out";
    this.pending = { kind: "recommend", step: "", since: now };
  }

  waitBegun(event: RunEvent, now: number): void {
    const kind = event.type === "ApprovalRequested" ? "approval" : "question";
    const span = this.span(event, kind, now, null, kind === "approval" ? "Approval" : "Question", "waiting");
    span.detail = textOf(event.data, "text");
    this.openWaits.set(textOf(event.data, `${kind}_id`), span);
    this.pending = null;
  }

  waitEnded(event: RunEvent, now: number): void {
    const kind = event.type === "ApprovalDecided" ? "approval" : "question";
    const id = textOf(event.data, `${kind}_id`);
    const span = this.openWaits.get(id);
    if (!span) {
      this.mark(event, now);
      return;
    }
    this.openWaits.delete(id);
    const refused = kind === "approval" && !flagOf(event.data, "approved");
    this.close(span, span.end ?? now, refused ? "failed" : "done", event);
    span.detail = kind === "question" ? textOf(event.data, "answer") : refused ? "rejected" : "approved";
    if (this.openAttempts.size > 0) return;
    this.pending = { kind: kind === "question" ? "decide" : "attempt", step: event.step, since: now };
  }

  /** A decision about a step is journaled with the step's answer only: that the step begins shows that it was made. */
  private letGo(event: RunEvent, now: number): void {
    for (const span of this.openWaits.values()) {
      if (span.end === null && span.step === event.step && span.hop === event.hop_index) this.close(span, now, "done");
    }
  }

  paused(event: RunEvent, now: number): void {
    this.openPause = this.span(event, "pause", now, null, "Paused", "waiting", true);
    this.openPause.detail = textOf(event.data, "reason");
  }

  continued(event: RunEvent, now: number): void {
    const span = this.openPause;
    if (!span) {
      this.mark(event, now);
      return;
    }
    this.openPause = null;
    this.close(span, now, "done", event);
    if (this.pending) this.pending = { ...this.pending, since: now };
  }

  messageSent(event: RunEvent, now: number): void {
    const from = textOf(event.data, "sender_role") || "?";
    const to = textOf(event.data, "recipient_role") || "?";
    const span = this.span(event, "message", now, null, "Message", "waiting", !event.step);
    span.detail = `${from} → ${to}`;
    this.openMessages.set(textOf(event.data, "message_id"), span);
  }

  messageDelivered(event: RunEvent, now: number): void {
    const id = textOf(event.data, "message_id");
    const span = this.openMessages.get(id);
    if (!span) {
      this.mark(event, now);
      return;
    }
    this.openMessages.delete(id);
    this.close(span, now, "done", event);
  }

  completed(event: RunEvent, now: number): void {
    const outcome = textOf(event.data, "outcome");
    const cut = endedStatus(outcome);
    for (const span of [...this.openAttempts.values(), ...this.openWaits.values()]) {
      if (span.end === null) this.close(span, now, cut);
    }
    for (const span of this.openMessages.values()) this.close(span, now, "stopped");
    if (this.openPause) this.close(this.openPause, now, "done");
    this.openPause = null;
    this.openAttempts.clear();
    this.openWaits.clear();
    this.openMessages.clear();
    this.life.end = now;
    this.ended = true;
    this.pending = null;
    this.mark(event, now);
  }

  mark(event: RunEvent, now: number): void {
    const { title, detail, ofRun } = describeMark(event);
    this.span(event, "mark", now, now, title, "note", ofRun).detail = detail;
  }

  /** A span that is told of when it is over, with its duration. */
  private past(event: RunEvent, now: number, kind: SpanKind, title: string, detail: string): Span {
    const duration = Math.max(numberOf(event.data, "duration_ms") ?? 0, 0);
    const begin = Math.max(now - duration, Math.min(this.life.start, now));
    const span = this.span(event, kind, begin, now, title, "done");
    span.detail = detail;
    return span;
  }

  private attemptOf(event: RunEvent, now: number): Span {
    const key = hopKey(event);
    const open = this.openAttempts.get(key);
    if (open) {
      this.openAttempts.delete(key);
      return open;
    }
    return this.past(event, now, "attempt", textOf(event.data, "service") || "Service", "");
  }

  private close(span: Span, now: number, status: SpanStatus, event?: RunEvent): void {
    span.end = Math.max(now, span.start);
    span.status = status;
    if (event && !span.events.includes(event)) span.events.push(event);
  }

  /** Puts the service's own time, which ended with the span, into it: waiting in its queue, then work. */
  private measure(span: Span, event: RunEvent): void {
    const usage = event.data.usage;
    const end = span.end;
    if (!isRecord(usage) || end === null) return;
    const duration = numberOf(usage, "duration_ms") ?? 0;
    if (duration <= 0) return;
    const queue = Math.min(Math.max(numberOf(usage, "queue_ms") ?? 0, 0), duration);
    const begin = end - duration;
    span.joined = begin < span.start - Math.max(100, 0.05 * duration);
    const cut = (time: number): number => Math.min(Math.max(time, span.start), end);
    const segments: Segment[] = [
      { kind: "queue", start: cut(begin), end: cut(begin + queue) },
      { kind: "work", start: cut(begin + queue), end },
    ];
    span.segments = segments.filter((each) => each.end > each.start);
  }

  private part(event: RunEvent): HopPart {
    const { index } = this.life;
    const id = hopId(index, event.hop_index, event.step);
    let part = this.parts.get(id);
    if (!part) {
      part = { id, life: index, hop: event.hop_index, step: event.step, role: "", cycle: 0, spans: [] };
      this.parts.set(id, part);
      this.life.items.push(part);
    }
    return part;
  }

  private span(
    event: RunEvent,
    kind: SpanKind,
    start: number,
    end: number | null,
    title: string,
    status: SpanStatus,
    ofRun = !event.step,
  ): Span {
    const span: Span = {
      id: `${kind}-${event.sequence}`,
      kind,
      step: event.step,
      hop: event.hop_index,
      life: this.life.index,
      title,
      detail: "",
      start,
      end,
      status,
      segments: [],
      joined: false,
      events: [event],
    };
    this.start = Math.min(this.start, start);
    this.spans.set(span.id, span);
    if (kind === "approval" || kind === "question" || kind === "pause") this.waits.push(span);
    if (ofRun) this.life.items.push(span);
    else this.part(event).spans.push(span);
    return span;
  }
}

type Handler = (this: Timeline, event: RunEvent, now: number) => void;

const HANDLERS: Readonly<Record<string, Handler | undefined>> = Object.assign(Object.create(null), {
  RunAccepted: Timeline.prototype.accepted,
  RunResumed: Timeline.prototype.resumed,
  Recommended: Timeline.prototype.recommended,
  Decided: Timeline.prototype.decided,
  StepStarted: Timeline.prototype.stepStarted,
  StepRetried: Timeline.prototype.stepRetried,
  StepCompleted: Timeline.prototype.stepCompleted,
  StepFailed: Timeline.prototype.stepFailed,
  StepSkipped: Timeline.prototype.stepSkipped,
  ApprovalRequested: Timeline.prototype.waitBegun,
  ApprovalDecided: Timeline.prototype.waitEnded,
  QuestionAsked: Timeline.prototype.waitBegun,
  QuestionAnswered: Timeline.prototype.waitEnded,
  RunPaused: Timeline.prototype.paused,
  RunContinued: Timeline.prototype.continued,
  MessageSent: Timeline.prototype.messageSent,
  MessageDelivered: Timeline.prototype.messageDelivered,
  AgentStarted: () => undefined, // its lane says it
  RunCompleted: Timeline.prototype.completed,
} satisfies Record<string, Handler>) as Record<string, Handler | undefined>;

function newLife(index: number, cause: string, start: number, event: RunEvent | null): Life {
  return { index, cause, start, resumed: false, starts: 1, end: null, items: [], lost: 0, event };
}

function hopKey(event: RunEvent): string {
  return `${event.hop_index}:${event.step}`;
}
