import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { keepStatus } from "../api/keepStatus";
import { keys } from "../api/keys";
import type { Agent, RunEvent, RunPage } from "../api/types";
import { usageHistory } from "../overview/usageHistory";
import { applyEvent } from "../runs/applyEvent";
import type { StreamEvent } from "./events";
import { Throttle } from "./throttle";

const LIST_PERIOD_MS = 1000;
const RUN_PERIOD_MS = 300;

/** Steps change only their own row; these change which rows a filter shows. */
const STEP_EVENTS = new Set(["Recommended", "Decided", "StepStarted", "StepRetried", "StepCompleted", "ReviewCycle"]);

const BACKUP_EVENTS = new Set(["AgentStarted", "BackupCreated", "RunRestored"]);

/**
 * Keeps the cache up to date: agents and services come whole, a journal event changes the rows that it is about at
 * once and has the rest read anew, at a bounded rate.
 */
export class CacheUpdater {
  private readonly queries: QueryClient;
  private readonly lists: Throttle;
  private readonly messages: Throttle;
  private readonly runs = new Map<string, Throttle>();

  constructor(queries: QueryClient) {
    this.queries = queries;
    this.lists = new Throttle(() => this.renew(keys.allRuns), LIST_PERIOD_MS);
    this.messages = new Throttle(() => this.renew(keys.messages), LIST_PERIOD_MS);
  }

  apply(event: StreamEvent): void {
    switch (event.type) {
      case "agents":
        this.queries.setQueryData<Agent[]>(keys.agents, (before) => keepStatus(before, event.agents));
        break;
      case "services":
        usageHistory.add(event.services);
        this.queries.setQueryData(keys.services, event.services);
        break;
      case "journal":
        this.journal(event.event);
        break;
      case "hello":
      case "resync":
        void this.renew();
        break;
    }
  }

  stop(): void {
    this.lists.stop();
    this.messages.stop();
    for (const throttle of this.runs.values()) throttle.stop();
  }

  private journal(event: RunEvent): void {
    if (event.run_id) {
      this.patchRows(event);
      if (!STEP_EVENTS.has(event.type) && !event.type.startsWith("Message")) this.lists.call();
      this.renewRun(event.run_id);
    }
    if (event.type.startsWith("Message")) this.messages.call();
    if (BACKUP_EVENTS.has(event.type)) void this.renew(keys.backups);
  }

  private patchRows(event: RunEvent): void {
    this.queries.setQueriesData<InfiniteData<RunPage>>({ queryKey: keys.allRuns }, (data) => {
      if (!data?.pages.some((page) => page.runs.some((run) => run.run_id === event.run_id))) return data;
      return {
        ...data,
        pages: data.pages.map((page) => ({
          ...page,
          runs: page.runs.map((run) => (run.run_id === event.run_id ? { ...run, ...applyEvent(run, event) } : run)),
        })),
      };
    });
  }

  /** Runs that no page has read are not read for an event. */
  private renewRun(runId: string): void {
    if (!this.queries.getQueryState(keys.run(runId))) return;
    let throttle = this.runs.get(runId);
    if (!throttle) {
      throttle = new Throttle(
        () => Promise.all([this.renew(keys.run(runId), true), this.renew(keys.runMessages(runId))]),
        RUN_PERIOD_MS,
      );
      this.runs.set(runId, throttle);
    }
    throttle.call();
  }

  /** A first read that is under way may be older than what was heard, and is not begun anew: so it is done again. */
  private async renew(queryKey: readonly unknown[] = [], exact = false): Promise<void> {
    const filters = { queryKey, exact };
    const first = new Set(
      this.queries
        .getQueryCache()
        .findAll({ ...filters, fetchStatus: "fetching" })
        .filter((query) => query.state.data === undefined),
    );
    await this.queries.invalidateQueries(filters);
    if (first.size > 0) await this.queries.invalidateQueries({ predicate: (query) => first.has(query) });
  }
}
