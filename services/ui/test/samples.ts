import type { Agent, ListedRun, Observability, RunEvent, StoredMessage } from "../src/api/types";

export function aRun(fields: Partial<ListedRun> = {}): ListedRun {
  return {
    agent: "review",
    run_id: "0b5c2f7e-0000-4000-8000-000000000001",
    correlation_id: "0b5c2f7e-0000-4000-8000-000000000002",
    workflow: "review",
    workflow_digest: "",
    prompt: "Merge two lists",
    state: "running",
    outcome: "",
    reason: "",
    result: "",
    remaining_hops: 3,
    max_hops: 5,
    current_cycle: 1,
    max_cycles: 2,
    current_step: "write",
    pending_input: null,
    recoveries: 0,
    last_sequence: 10,
    create_time: "2026-11-25T12:00:00.000Z",
    update_time: "2026-11-25T12:00:10.000Z",
    end_time: null,
    hops: [],
    trace_context: null,
    remaining_time: null,
    restored_from: "",
    ...fields,
  };
}

export function anEvent(fields: Partial<RunEvent> = {}): RunEvent {
  return {
    sequence: 11,
    run_id: "0b5c2f7e-0000-4000-8000-000000000001",
    correlation_id: "",
    type: "StepStarted",
    time: "2026-11-25T12:01:00.000Z",
    step: "review",
    hop_index: 2,
    data: {},
    trace_context: null,
    ...fields,
  };
}

export function aMessage(sender: string, recipient: string, delivered = true): StoredMessage {
  return {
    message: {
      message_id: `${sender}-${recipient}`,
      sender_role: sender,
      recipient_role: recipient,
      payload: "Please return early.",
      hop_index: 1,
      correlation_id: "",
      trace_context: null,
      create_time: "2026-11-25T12:00:00.000Z",
    },
    delivered,
    run_id: "r1",
    agent: "review",
  };
}

export function anAgent(name: string, observability: Partial<Observability> | null = null): Agent {
  return {
    agent: name,
    workflow: name,
    namespace: "",
    target: "",
    reachable: true,
    error: "",
    status: null,
    observability: observability
      ? { mode: "shipping", until: null, cause: "", telemetry: null, ...observability }
      : null,
  };
}
