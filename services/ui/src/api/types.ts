// The JSON of the contracts: fields as in the .proto files, times ISO 8601 UTC, durations in seconds, an unset message
// null, an unset enum "". An enum is a string here, because a newer agent may send a word that this page does not know.

export type RunState = "accepted" | "running" | "waiting" | "paused" | "ended" | (string & {});

export type RunOutcome =
  | "Completed"
  | "ReviewLimitReached"
  | "HopLimitReached"
  | "TimeLimitReached"
  | "WaitTimedOut"
  | "Cancelled"
  | "Failed"
  | "NeedsAttention"
  | (string & {});

export interface TraceContext {
  traceparent: string;
  tracestate: string;
}

export interface ScoredService {
  service: string;
  capability: string;
  confidence: number;
}

export interface Recommendation {
  services: ScoredService[];
  none_probability: number;
  reasoning: string;
  path: string;
  duration_ms: number;
}

export interface ScoredChoice {
  choice: string;
  probability: number;
  prior: number;
  log_probability: number;
}

export interface Decision {
  action: string;
  service: string;
  agreed: boolean;
  reason: string;
  choices: ScoredChoice[];
  duration_ms: number;
}

export interface Hop {
  hop_index: number;
  step: string;
  role: string;
  service: string;
  recommendation: Recommendation | null;
  decision: Decision | null;
  output: string;
  verdict: string;
  cycle: number;
  start_time: string | null;
  end_time: string | null;
}

export interface Question {
  question_id: string;
  text: string;
  options: string[];
}

export interface Approval {
  approval_id: string;
  step: string;
  text: string;
}

export interface PendingInput {
  question: Question | null;
  approval: Approval | null;
  expire_time: string | null;
}

export interface Run {
  run_id: string;
  correlation_id: string;
  workflow: string;
  workflow_digest: string;
  prompt: string;
  state: RunState;
  outcome: RunOutcome | "";
  reason: string;
  result: string;
  remaining_hops: number;
  max_hops: number;
  current_cycle: number;
  max_cycles: number;
  current_step: string;
  pending_input: PendingInput | null;
  recoveries: number;
  last_sequence: number;
  create_time: string | null;
  update_time: string | null;
  end_time: string | null;
  hops: Hop[];
  trace_context: TraceContext | null;
  remaining_time: number | null;
  restored_from: string;
}

/** A run as the gateway lists it: with the agent that has it. */
export interface ListedRun extends Run {
  agent: string;
}

export interface RunEvent {
  sequence: number;
  run_id: string;
  correlation_id: string;
  type: string;
  time: string;
  step: string;
  hop_index: number;
  data: Record<string, unknown> | null;
  trace_context: TraceContext | null;
}

export interface AgentStep {
  name: string;
  role: string;
  capability: string;
  service: string;
  requires_approval: boolean;
  optional: boolean;
}

export interface WorkflowGraph {
  pattern: string;
  steps: AgentStep[];
  cycle_from: string;
  cycle_to: string;
  max_hops: number;
  max_cycles: number;
}

export interface AgentMessage {
  message_id: string;
  sender_role: string;
  recipient_role: string;
  payload: string;
  hop_index: number;
  correlation_id: string;
  trace_context: TraceContext | null;
  create_time: string | null;
}

export interface StoredMessage {
  message: AgentMessage;
  delivered: boolean;
  run_id: string;
  agent: string;
}

export interface TelemetryStatus {
  endpoint: string;
  exported_spans: number;
  dropped: number;
  lag_events: number;
  failure: string;
}

export interface StoreStatus {
  failure: string;
  size_bytes: number;
  wal_bytes: number;
  commits: number;
  writes: number;
  commit_ms: number;
  last_backup_time: string | null;
  fsync_ms: number;
  commit_p95_ms: number;
}

export interface AgentStatus {
  workflow: string;
  workflow_digest: string;
  pattern: string;
  steps: AgentStep[];
  max_hops: number;
  max_cycles: number;
  running: number;
  waiting: number;
  ended: number;
  paused: number;
  epoch: number;
  start_time: string | null;
  store: StoreStatus | null;
  cycle_from: string;
  cycle_to: string;
  last_sequence: number;
  telemetry: TelemetryStatus | null;
}

export type ObservabilityMode = "shipping" | "debug" | (string & {});

export interface Observability {
  mode: ObservabilityMode;
  until: string | null;
  cause: string;
  telemetry: TelemetryStatus | null;
}

export interface Agent {
  agent: string;
  workflow: string;
  namespace: string;
  target: string;
  reachable: boolean;
  error: string;
  status: AgentStatus | null;
  observability: Observability | null;
}

export interface Usage {
  cpu_cores: number;
  memory_bytes: number;
  cpu_limit_cores: number;
  memory_limit_bytes: number;
  tokens_per_second: number;
  active_calls: number;
  queued_calls: number;
  source: string;
}

export type ServiceState = "ready" | "not ready" | "gone" | (string & {});

export interface Service {
  name: string;
  target: string;
  capabilities: string[];
  description: string;
  examples: string[];
  state: ServiceState;
  usage: Usage | null;
  lease_expire_time: string | null;
  details: Record<string, string>;
  /** Empty in local mode. */
  namespace: string;
  /** The agents that know it. */
  agents: string[];
}

export interface Backup {
  backup_id: string;
  create_time: string | null;
  size_bytes: number;
  sha256: string;
  cause: string;
  epoch: number;
  last_sequence: number;
  runs: number;
  damage: string;
}

export interface AgentBackups {
  agent: string;
  backups: Backup[];
  next_time: string | null;
  failure: string;
  error: string;
}

export interface Config {
  version: string;
  server_time: string;
  writable: boolean;
  token_required: boolean;
  mode: "local" | "cluster" | (string & {});
}

export interface RunPage {
  runs: ListedRun[];
  next_page_token: string;
  unreachable: string[];
}

export interface RunDetail {
  run: Run;
  graph: WorkflowGraph | null;
  /** `AgentStarted` of the processes that began while the run was there. */
  process_starts: RunEvent[];
  agent: string;
}

export interface EventPage {
  events: RunEvent[];
  last_sequence: number;
  more: boolean;
}

export interface MessagePage {
  messages: StoredMessage[];
  next_page_token: string;
}

export interface BulkResult {
  run_id: string;
  ok: boolean;
  error: string;
}

export interface ModeResult {
  agent: string;
  ok: boolean;
  error: string;
  observability: Observability | null;
}
