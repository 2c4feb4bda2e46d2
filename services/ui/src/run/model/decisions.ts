import type { Reader } from "./eventLog";
import { flagOf, millis, numberOf, type RunEvent, recordsOf, textOf } from "./wire";

export interface ScoredService {
  readonly service: string;
  readonly capability: string;
  /** In [0, 1]. */
  readonly confidence: number;
}

export interface Recommendation {
  readonly services: readonly ScoredService[];
  /** Probability in [0, 1] that none fits. */
  readonly none: number;
  /** Probability in [0, 1] that the request needs the step's capability; null when it was not told. */
  readonly relevance: number | null;
  readonly reasoning: string;
  /** Which way the router went, for example "embedding"; a newer router may tell one that is not known here. */
  readonly path: string;
  /** Why it went no better way; empty when it did not have to. */
  readonly fallbackReason: string;
  readonly durationMs: number | null;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

export interface Choice {
  readonly choice: string;
  readonly prior: number;
  /** Mean log-probability per token under the model; null when no model was heard. */
  readonly logProbability: number | null;
  /** Geometric mean of the model's token probabilities, in [0, 1]; null when no model was heard. */
  readonly likelihood: number | null;
  /**
   * What the request makes of the choice in the eyes of the model, in nats, 0 for the choice that it speaks for most;
   * null when no model was heard, and in older journals, in which the likelihood was weighed.
   */
  readonly evidence: number | null;
  readonly posterior: number;
}

export type Verdict = "agreed" | "overruled" | "skipped" | "finished" | "asked";

export interface Decision {
  readonly action: string;
  readonly service: string;
  readonly verdict: Verdict;
  readonly reason: string;
  /** By falling posterior. */
  readonly choices: readonly Choice[];
  readonly durationMs: number | null;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** What the router recommended and, as soon as there is one, what the arbitrator decided on it. */
export interface DecisionPair {
  readonly id: string;
  readonly step: string;
  readonly hop: number;
  readonly recommendation: Recommendation | null;
  decision: Decision | null;
}

/** Recommendations and decisions side by side, in order. */
export class Decisions implements Reader {
  pairs: DecisionPair[] = [];

  reset(): void {
    this.pairs = [];
  }

  add(event: RunEvent): void {
    const { sequence, step, hop_index: hop } = event;
    if (event.type === "Recommended") {
      this.pairs.push({ id: `d-${sequence}`, step, hop, recommendation: readRecommendation(event), decision: null });
    } else if (event.type === "Decided") {
      const decision = readDecision(event);
      const open = this.pairs.at(-1);
      if (open && open.step === step && open.hop === hop && open.decision === null) open.decision = decision;
      else this.pairs.push({ id: `d-${sequence}`, step, hop, recommendation: null, decision });
    }
  }
}

function readRecommendation(event: RunEvent): Recommendation {
  const { data } = event;
  const services = recordsOf(data, "services").map((each) => ({
    service: textOf(each, "service") || "?",
    capability: textOf(each, "capability"),
    confidence: probability(each, "confidence"),
  }));
  return {
    services,
    none: probability(data, "none_probability"),
    relevance: numberOf(data, "relevance"),
    reasoning: textOf(data, "reasoning"),
    path: textOf(data, "path"),
    fallbackReason: textOf(data, "fallback_reason"),
    durationMs: numberOf(data, "duration_ms"),
    time: millis(event.time, 0),
  };
}

function readDecision(event: RunEvent): Decision {
  const { data } = event;
  const action = textOf(data, "action");
  const choices = recordsOf(data, "choices").map((each): Choice => {
    const logProbability = numberOf(each, "log_probability") || null;
    return {
      choice: textOf(each, "choice") || "?",
      prior: probability(each, "prior"),
      logProbability,
      likelihood: logProbability === null ? null : Math.min(Math.exp(logProbability), 1),
      evidence: logProbability === null ? null : numberOf(each, "evidence"),
      posterior: probability(each, "probability"),
    };
  });
  return {
    action,
    service: textOf(data, "service"),
    verdict: verdictOf(action, flagOf(data, "agreed")),
    reason: textOf(data, "reason"),
    choices: choices.sort((one, other) => other.posterior - one.posterior),
    durationMs: numberOf(data, "duration_ms"),
    time: millis(event.time, 0),
  };
}

function verdictOf(action: string, agreed: boolean): Verdict {
  if (action === "skip") return "skipped";
  if (action === "finish") return "finished";
  if (action === "ask") return "asked";
  return agreed ? "agreed" : "overruled";
}

function probability(record: Readonly<Record<string, unknown>>, key: string): number {
  return Math.min(Math.max(numberOf(record, key) ?? 0, 0), 1);
}
