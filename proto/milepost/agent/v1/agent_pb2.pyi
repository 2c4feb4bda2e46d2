import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from milepost.agent.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_ACCEPTED: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_WAITING: _ClassVar[RunState]
    RUN_STATE_ENDED: _ClassVar[RunState]
    RUN_STATE_PAUSED: _ClassVar[RunState]

class RunOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_OUTCOME_UNSPECIFIED: _ClassVar[RunOutcome]
    RUN_OUTCOME_COMPLETED: _ClassVar[RunOutcome]
    RUN_OUTCOME_REVIEW_LIMIT_REACHED: _ClassVar[RunOutcome]
    RUN_OUTCOME_HOP_LIMIT_REACHED: _ClassVar[RunOutcome]
    RUN_OUTCOME_CANCELLED: _ClassVar[RunOutcome]
    RUN_OUTCOME_FAILED: _ClassVar[RunOutcome]
    RUN_OUTCOME_NEEDS_ATTENTION: _ClassVar[RunOutcome]
    RUN_OUTCOME_TIME_LIMIT_REACHED: _ClassVar[RunOutcome]
    RUN_OUTCOME_WAIT_TIMED_OUT: _ClassVar[RunOutcome]

class ApprovalDecision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVAL_DECISION_UNSPECIFIED: _ClassVar[ApprovalDecision]
    APPROVAL_DECISION_APPROVE: _ClassVar[ApprovalDecision]
    APPROVAL_DECISION_REJECT: _ClassVar[ApprovalDecision]

class ObservabilityMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBSERVABILITY_MODE_UNSPECIFIED: _ClassVar[ObservabilityMode]
    OBSERVABILITY_MODE_SHIPPING: _ClassVar[ObservabilityMode]
    OBSERVABILITY_MODE_DEBUG: _ClassVar[ObservabilityMode]
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_ACCEPTED: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_WAITING: RunState
RUN_STATE_ENDED: RunState
RUN_STATE_PAUSED: RunState
RUN_OUTCOME_UNSPECIFIED: RunOutcome
RUN_OUTCOME_COMPLETED: RunOutcome
RUN_OUTCOME_REVIEW_LIMIT_REACHED: RunOutcome
RUN_OUTCOME_HOP_LIMIT_REACHED: RunOutcome
RUN_OUTCOME_CANCELLED: RunOutcome
RUN_OUTCOME_FAILED: RunOutcome
RUN_OUTCOME_NEEDS_ATTENTION: RunOutcome
RUN_OUTCOME_TIME_LIMIT_REACHED: RunOutcome
RUN_OUTCOME_WAIT_TIMED_OUT: RunOutcome
APPROVAL_DECISION_UNSPECIFIED: ApprovalDecision
APPROVAL_DECISION_APPROVE: ApprovalDecision
APPROVAL_DECISION_REJECT: ApprovalDecision
OBSERVABILITY_MODE_UNSPECIFIED: ObservabilityMode
OBSERVABILITY_MODE_SHIPPING: ObservabilityMode
OBSERVABILITY_MODE_DEBUG: ObservabilityMode

class Run(_message.Message):
    __slots__ = ("run_id", "correlation_id", "workflow", "workflow_digest", "prompt", "state", "outcome", "reason", "result", "remaining_hops", "max_hops", "current_cycle", "max_cycles", "current_step", "pending_input", "recoveries", "last_sequence", "create_time", "update_time", "end_time", "hops", "trace_context", "remaining_time", "restored_from")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_HOPS_FIELD_NUMBER: _ClassVar[int]
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_CYCLE_FIELD_NUMBER: _ClassVar[int]
    MAX_CYCLES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_FIELD_NUMBER: _ClassVar[int]
    PENDING_INPUT_FIELD_NUMBER: _ClassVar[int]
    RECOVERIES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TIME_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FROM_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    correlation_id: str
    workflow: str
    workflow_digest: str
    prompt: str
    state: RunState
    outcome: RunOutcome
    reason: str
    result: str
    remaining_hops: int
    max_hops: int
    current_cycle: int
    max_cycles: int
    current_step: str
    pending_input: PendingInput
    recoveries: int
    last_sequence: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    trace_context: _message_pb2.TraceContext
    remaining_time: _duration_pb2.Duration
    restored_from: str
    def __init__(self, run_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., workflow: _Optional[str] = ..., workflow_digest: _Optional[str] = ..., prompt: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., outcome: _Optional[_Union[RunOutcome, str]] = ..., reason: _Optional[str] = ..., result: _Optional[str] = ..., remaining_hops: _Optional[int] = ..., max_hops: _Optional[int] = ..., current_cycle: _Optional[int] = ..., max_cycles: _Optional[int] = ..., current_step: _Optional[str] = ..., pending_input: _Optional[_Union[PendingInput, _Mapping]] = ..., recoveries: _Optional[int] = ..., last_sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., trace_context: _Optional[_Union[_message_pb2.TraceContext, _Mapping]] = ..., remaining_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., restored_from: _Optional[str] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("hop_index", "step", "role", "service", "recommendation", "decision", "output", "verdict", "cycle", "start_time", "end_time")
    HOP_INDEX_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    hop_index: int
    step: str
    role: str
    service: str
    recommendation: Recommendation
    decision: Decision
    output: str
    verdict: str
    cycle: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, hop_index: _Optional[int] = ..., step: _Optional[str] = ..., role: _Optional[str] = ..., service: _Optional[str] = ..., recommendation: _Optional[_Union[Recommendation, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., output: _Optional[str] = ..., verdict: _Optional[str] = ..., cycle: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Recommendation(_message.Message):
    __slots__ = ("services", "none_probability", "reasoning", "path", "duration_ms", "fallback_reason", "relevance")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    NONE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[ScoredService]
    none_probability: float
    reasoning: str
    path: str
    duration_ms: float
    fallback_reason: str
    relevance: float
    def __init__(self, services: _Optional[_Iterable[_Union[ScoredService, _Mapping]]] = ..., none_probability: _Optional[float] = ..., reasoning: _Optional[str] = ..., path: _Optional[str] = ..., duration_ms: _Optional[float] = ..., fallback_reason: _Optional[str] = ..., relevance: _Optional[float] = ...) -> None: ...

class ScoredService(_message.Message):
    __slots__ = ("service", "capability", "confidence")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    capability: str
    confidence: float
    def __init__(self, service: _Optional[str] = ..., capability: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("action", "service", "agreed", "reason", "choices", "duration_ms")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    action: str
    service: str
    agreed: bool
    reason: str
    choices: _containers.RepeatedCompositeFieldContainer[ScoredChoice]
    duration_ms: float
    def __init__(self, action: _Optional[str] = ..., service: _Optional[str] = ..., agreed: _Optional[bool] = ..., reason: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[ScoredChoice, _Mapping]]] = ..., duration_ms: _Optional[float] = ...) -> None: ...

class ScoredChoice(_message.Message):
    __slots__ = ("choice", "probability", "prior", "log_probability", "evidence")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    choice: str
    probability: float
    prior: float
    log_probability: float
    evidence: float
    def __init__(self, choice: _Optional[str] = ..., probability: _Optional[float] = ..., prior: _Optional[float] = ..., log_probability: _Optional[float] = ..., evidence: _Optional[float] = ...) -> None: ...

class PendingInput(_message.Message):
    __slots__ = ("question", "approval", "expire_time")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    question: Question
    approval: Approval
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ..., approval: _Optional[_Union[Approval, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("question_id", "text", "options")
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    question_id: str
    text: str
    options: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, question_id: _Optional[str] = ..., text: _Optional[str] = ..., options: _Optional[_Iterable[str]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("approval_id", "step", "text")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    step: str
    text: str
    def __init__(self, approval_id: _Optional[str] = ..., step: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class RunEvent(_message.Message):
    __slots__ = ("sequence", "run_id", "correlation_id", "type", "time", "step", "hop_index", "data", "trace_context")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    HOP_INDEX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    run_id: str
    correlation_id: str
    type: str
    time: _timestamp_pb2.Timestamp
    step: str
    hop_index: int
    data: _struct_pb2.Struct
    trace_context: _message_pb2.TraceContext
    def __init__(self, sequence: _Optional[int] = ..., run_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., type: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[str] = ..., hop_index: _Optional[int] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., trace_context: _Optional[_Union[_message_pb2.TraceContext, _Mapping]] = ...) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("correlation_id", "prompt", "workflow", "trace_context")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    prompt: str
    workflow: str
    trace_context: _message_pb2.TraceContext
    def __init__(self, correlation_id: _Optional[str] = ..., prompt: _Optional[str] = ..., workflow: _Optional[str] = ..., trace_context: _Optional[_Union[_message_pb2.TraceContext, _Mapping]] = ...) -> None: ...

class StartRunResponse(_message.Message):
    __slots__ = ("run", "existing")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    run: Run
    existing: bool
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., existing: _Optional[bool] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("run_id", "after_sequence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after_sequence: int
    def __init__(self, run_id: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: RunEvent
    def __init__(self, event: _Optional[_Union[RunEvent, _Mapping]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run", "graph", "process_starts")
    RUN_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    PROCESS_STARTS_FIELD_NUMBER: _ClassVar[int]
    run: Run
    graph: WorkflowGraph
    process_starts: _containers.RepeatedCompositeFieldContainer[RunEvent]
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., graph: _Optional[_Union[WorkflowGraph, _Mapping]] = ..., process_starts: _Optional[_Iterable[_Union[RunEvent, _Mapping]]] = ...) -> None: ...

class WorkflowGraph(_message.Message):
    __slots__ = ("pattern", "steps", "cycle_from", "cycle_to", "max_hops", "max_cycles")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FROM_FIELD_NUMBER: _ClassVar[int]
    CYCLE_TO_FIELD_NUMBER: _ClassVar[int]
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    MAX_CYCLES_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    steps: _containers.RepeatedCompositeFieldContainer[AgentStep]
    cycle_from: str
    cycle_to: str
    max_hops: int
    max_cycles: int
    def __init__(self, pattern: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[AgentStep, _Mapping]]] = ..., cycle_from: _Optional[str] = ..., cycle_to: _Optional[str] = ..., max_hops: _Optional[int] = ..., max_cycles: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state", "outcome", "query")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: RunState
    outcome: RunOutcome
    query: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., outcome: _Optional[_Union[RunOutcome, str]] = ..., query: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id", "reason", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    reason: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class PauseRunRequest(_message.Message):
    __slots__ = ("run_id", "reason", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    reason: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PauseRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class ResumeRunRequest(_message.Message):
    __slots__ = ("run_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResumeRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class AnswerQuestionRequest(_message.Message):
    __slots__ = ("run_id", "question_id", "answer")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    question_id: str
    answer: str
    def __init__(self, run_id: _Optional[str] = ..., question_id: _Optional[str] = ..., answer: _Optional[str] = ...) -> None: ...

class AnswerQuestionResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class DecideApprovalRequest(_message.Message):
    __slots__ = ("run_id", "approval_id", "decision", "comment")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    approval_id: str
    decision: ApprovalDecision
    comment: str
    def __init__(self, run_id: _Optional[str] = ..., approval_id: _Optional[str] = ..., decision: _Optional[_Union[ApprovalDecision, str]] = ..., comment: _Optional[str] = ...) -> None: ...

class DecideApprovalResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class SendMessageRequest(_message.Message):
    __slots__ = ("run_id", "message")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    message: _message_pb2.AgentMessage
    def __init__(self, run_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.AgentMessage, _Mapping]] = ...) -> None: ...

class SendMessageResponse(_message.Message):
    __slots__ = ("message", "duplicate")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    message: _message_pb2.AgentMessage
    duplicate: bool
    def __init__(self, message: _Optional[_Union[_message_pb2.AgentMessage, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[StoredMessage]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[StoredMessage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StoredMessage(_message.Message):
    __slots__ = ("message", "delivered", "run_id")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    message: _message_pb2.AgentMessage
    delivered: bool
    run_id: str
    def __init__(self, message: _Optional[_Union[_message_pb2.AgentMessage, _Mapping]] = ..., delivered: _Optional[bool] = ..., run_id: _Optional[str] = ...) -> None: ...

class GetAgentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentResponse(_message.Message):
    __slots__ = ("workflow", "workflow_digest", "pattern", "steps", "max_hops", "max_cycles", "running", "waiting", "ended", "epoch", "start_time", "paused", "store", "cycle_from", "cycle_to", "last_sequence", "telemetry")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    MAX_CYCLES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FROM_FIELD_NUMBER: _ClassVar[int]
    CYCLE_TO_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    workflow: str
    workflow_digest: str
    pattern: str
    steps: _containers.RepeatedCompositeFieldContainer[AgentStep]
    max_hops: int
    max_cycles: int
    running: int
    waiting: int
    ended: int
    epoch: int
    start_time: _timestamp_pb2.Timestamp
    paused: int
    store: StoreStatus
    cycle_from: str
    cycle_to: str
    last_sequence: int
    telemetry: TelemetryStatus
    def __init__(self, workflow: _Optional[str] = ..., workflow_digest: _Optional[str] = ..., pattern: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[AgentStep, _Mapping]]] = ..., max_hops: _Optional[int] = ..., max_cycles: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., ended: _Optional[int] = ..., epoch: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused: _Optional[int] = ..., store: _Optional[_Union[StoreStatus, _Mapping]] = ..., cycle_from: _Optional[str] = ..., cycle_to: _Optional[str] = ..., last_sequence: _Optional[int] = ..., telemetry: _Optional[_Union[TelemetryStatus, _Mapping]] = ...) -> None: ...

class TelemetryStatus(_message.Message):
    __slots__ = ("endpoint", "exported_spans", "dropped", "lag_events", "failure")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_SPANS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    LAG_EVENTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    exported_spans: int
    dropped: int
    lag_events: int
    failure: str
    def __init__(self, endpoint: _Optional[str] = ..., exported_spans: _Optional[int] = ..., dropped: _Optional[int] = ..., lag_events: _Optional[int] = ..., failure: _Optional[str] = ...) -> None: ...

class StoreStatus(_message.Message):
    __slots__ = ("failure", "size_bytes", "wal_bytes", "commits", "writes", "commit_ms", "last_backup_time", "fsync_ms", "commit_p95_ms")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_BACKUP_TIME_FIELD_NUMBER: _ClassVar[int]
    FSYNC_MS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_P95_MS_FIELD_NUMBER: _ClassVar[int]
    failure: str
    size_bytes: int
    wal_bytes: int
    commits: int
    writes: int
    commit_ms: float
    last_backup_time: _timestamp_pb2.Timestamp
    fsync_ms: float
    commit_p95_ms: float
    def __init__(self, failure: _Optional[str] = ..., size_bytes: _Optional[int] = ..., wal_bytes: _Optional[int] = ..., commits: _Optional[int] = ..., writes: _Optional[int] = ..., commit_ms: _Optional[float] = ..., last_backup_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fsync_ms: _Optional[float] = ..., commit_p95_ms: _Optional[float] = ...) -> None: ...

class AgentStep(_message.Message):
    __slots__ = ("name", "role", "capability", "service", "requires_approval", "optional")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    capability: str
    service: str
    requires_approval: bool
    optional: bool
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., capability: _Optional[str] = ..., service: _Optional[str] = ..., requires_approval: _Optional[bool] = ..., optional: _Optional[bool] = ...) -> None: ...

class GetObservabilityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetObservabilityResponse(_message.Message):
    __slots__ = ("mode", "until", "cause", "telemetry")
    MODE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    mode: ObservabilityMode
    until: _timestamp_pb2.Timestamp
    cause: str
    telemetry: TelemetryStatus
    def __init__(self, mode: _Optional[_Union[ObservabilityMode, str]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[str] = ..., telemetry: _Optional[_Union[TelemetryStatus, _Mapping]] = ...) -> None: ...

class SetObservabilityRequest(_message.Message):
    __slots__ = ("mode", "duration", "request_id", "cause")
    MODE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    mode: ObservabilityMode
    duration: _duration_pb2.Duration
    request_id: str
    cause: str
    def __init__(self, mode: _Optional[_Union[ObservabilityMode, str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class SetObservabilityResponse(_message.Message):
    __slots__ = ("mode", "until")
    MODE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    mode: ObservabilityMode
    until: _timestamp_pb2.Timestamp
    def __init__(self, mode: _Optional[_Union[ObservabilityMode, str]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
