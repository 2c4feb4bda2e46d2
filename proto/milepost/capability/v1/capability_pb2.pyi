import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from milepost.agent.v1 import message_pb2 as _message_pb2
from milepost.registry.v1 import registry_pb2 as _registry_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("name", "capabilities", "description", "examples", "engine", "details")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    name: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    description: str
    examples: _containers.RepeatedScalarFieldContainer[str]
    engine: str
    details: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., examples: _Optional[_Iterable[str]] = ..., engine: _Optional[str] = ..., details: _Optional[_Mapping[str, str]] = ...) -> None: ...

class InvokeRequest(_message.Message):
    __slots__ = ("role", "prompt", "instructions", "context", "messages", "verdicts", "max_tokens")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    role: str
    prompt: str
    instructions: str
    context: _containers.RepeatedCompositeFieldContainer[Context]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.AgentMessage]
    verdicts: _containers.RepeatedScalarFieldContainer[str]
    max_tokens: int
    def __init__(self, role: _Optional[str] = ..., prompt: _Optional[str] = ..., instructions: _Optional[str] = ..., context: _Optional[_Iterable[_Union[Context, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.AgentMessage, _Mapping]]] = ..., verdicts: _Optional[_Iterable[str]] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("step", "role", "text")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    step: str
    role: str
    text: str
    def __init__(self, step: _Optional[str] = ..., role: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("delta", "result")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    delta: str
    result: InvokeResult
    def __init__(self, delta: _Optional[str] = ..., result: _Optional[_Union[InvokeResult, _Mapping]] = ...) -> None: ...

class InvokeResult(_message.Message):
    __slots__ = ("text", "verdict", "citations", "tool_calls", "usage", "messages")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    text: str
    verdict: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    usage: Usage
    messages: _containers.RepeatedCompositeFieldContainer[OutgoingMessage]
    def __init__(self, text: _Optional[str] = ..., verdict: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[OutgoingMessage, _Mapping]]] = ...) -> None: ...

class OutgoingMessage(_message.Message):
    __slots__ = ("recipient_role", "payload")
    RECIPIENT_ROLE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    recipient_role: str
    payload: str
    def __init__(self, recipient_role: _Optional[str] = ..., payload: _Optional[str] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("source", "location", "score", "quote")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    source: str
    location: str
    score: float
    quote: str
    def __init__(self, source: _Optional[str] = ..., location: _Optional[str] = ..., score: _Optional[float] = ..., quote: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("name", "arguments", "result", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    arguments: str
    result: str
    error: str
    def __init__(self, name: _Optional[str] = ..., arguments: _Optional[str] = ..., result: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "duration_ms", "queue_ms", "estimated")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    duration_ms: float
    queue_ms: float
    estimated: bool
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., duration_ms: _Optional[float] = ..., queue_ms: _Optional[float] = ..., estimated: _Optional[bool] = ...) -> None: ...

class ListCallsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCallsResponse(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    def __init__(self, calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("call_id", "method", "correlation_id", "started", "completed", "last_time", "requested")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    method: str
    correlation_id: str
    started: int
    completed: int
    last_time: _timestamp_pb2.Timestamp
    requested: int
    def __init__(self, call_id: _Optional[str] = ..., method: _Optional[str] = ..., correlation_id: _Optional[str] = ..., started: _Optional[int] = ..., completed: _Optional[int] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requested: _Optional[int] = ...) -> None: ...

class CancelCallRequest(_message.Message):
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    def __init__(self, call_id: _Optional[str] = ...) -> None: ...

class CancelCallResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: _Optional[bool] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: _registry_pb2.Usage
    def __init__(self, usage: _Optional[_Union[_registry_pb2.Usage, _Mapping]] = ...) -> None: ...
