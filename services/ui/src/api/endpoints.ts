import { segment } from "./base";
import { request, send, timedRequest } from "./client";
import type {
  Agent,
  AgentBackups,
  AgentMessage,
  Backup,
  BulkResult,
  Config,
  EventPage,
  MessagePage,
  ModeResult,
  Observability,
  ObservabilityMode,
  Run,
  RunDetail,
  RunPage,
  Service,
  StoredMessage,
} from "./types";

export interface RunFilter {
  workflow?: string | undefined;
  state?: string | undefined;
  outcome?: string | undefined;
  q?: string | undefined;
}

export interface NewRun {
  workflow: string;
  prompt: string;
  /** Made before the first try and kept for the next ones: however often it is sent, it is one run. */
  correlation_id: string;
}

export interface ModeChange {
  mode: ObservabilityMode;
  duration_seconds?: number;
  request_id: string;
}

export type RunAction =
  | { action: "cancel" | "pause"; reason?: string; request_id: string }
  | { action: "resume"; request_id: string }
  | { action: "answer"; question_id: string; answer: string }
  | { action: "approval"; approval_id: string; approve: boolean; comment?: string };

export const getConfig = () => timedRequest<Config>("config");

export const listAgents = () => request<{ agents: Agent[] }>("agents").then((answer) => answer.agents);

export const listServices = () => request<{ services: Service[] }>("services").then((answer) => answer.services);

export const listRuns = (filter: RunFilter, pageSize: number, pageToken: string, signal?: AbortSignal) =>
  request<RunPage>("runs", { query: { ...filter, page_size: pageSize, page_token: pageToken }, ...withSignal(signal) });

export const startRun = (body: NewRun) =>
  request<{ run: Run; agent: string; existing: boolean }>("runs", { method: "POST", body });

export const cancelRuns = (body: { run_ids: string[]; reason?: string; request_id: string }) =>
  request<{ results: BulkResult[] }>("runs/cancel", { method: "POST", body }).then((answer) => answer.results);

export const getRun = (runId: string, signal?: AbortSignal) =>
  request<RunDetail>(`runs/${segment(runId)}`, withSignal(signal));

export const actOnRun = (runId: string, { action, ...body }: RunAction) =>
  request<{ run: Run }>(`runs/${segment(runId)}/${action}`, { method: "POST", body }).then((answer) => answer.run);

export const sendMessage = (runId: string, body: { recipient_role: string; payload: string; message_id: string }) =>
  request<{ message: AgentMessage; duplicate: boolean }>(`runs/${segment(runId)}/messages`, { method: "POST", body });

export const listEvents = (runId: string, after: number, limit: number, signal?: AbortSignal) =>
  request<EventPage>(`runs/${segment(runId)}/events`, { query: { after, limit }, ...withSignal(signal) });

export const listRunMessages = (runId: string, signal?: AbortSignal) =>
  request<MessagePage>(`runs/${segment(runId)}/messages`, withSignal(signal)).then(
    (answer): StoredMessage[] => answer.messages,
  );

export const listMessages = (pageSize: number, pageToken: string, signal?: AbortSignal) =>
  request<MessagePage>("messages", { query: { page_size: pageSize, page_token: pageToken }, ...withSignal(signal) });

export const exportRun = (runId: string) => send(`runs/${segment(runId)}/export`);

export const setMode = (agent: string, body: ModeChange) =>
  request<Observability>(`agents/${segment(agent)}/observability`, { method: "PUT", body });

export const setModeOfAll = (body: ModeChange) =>
  request<{ results: ModeResult[] }>("observability", { method: "PUT", body }).then((answer) => answer.results);

export const listBackups = () => request<{ agents: AgentBackups[] }>("backups").then((answer) => answer.agents);

export const createBackup = (agent: string) =>
  request<{ backup: Backup; existing: boolean }>(`agents/${segment(agent)}/backups`, { method: "POST", body: {} });

export const downloadBackup = (agent: string, backupId: string) =>
  send(`agents/${segment(agent)}/backups/${segment(backupId)}/file`);

export const restoreBackup = (agent: string, backupId: string) =>
  request<{ backup: Backup }>(`agents/${segment(agent)}/backups/${segment(backupId)}/restore`, {
    method: "POST",
    body: { confirm: agent },
  });

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
