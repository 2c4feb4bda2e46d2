"""Every name that Milepost's telemetry uses: of spans, of their attributes, of metrics.

`gen_ai.*` is as in version SEMCONV of the semantic conventions, where it is still in development: a change of a name
there is a change here and nowhere else. What no convention covers is ours, below `milepost.` but for the names that
the requirements give. Times are in milliseconds where the name ends in `_ms`, else in seconds; sizes are in bytes.
"""

SEMCONV = "1.44.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{SEMCONV}"


class Spans:
    """Names of spans; those that end in a space are followed by what they are about, as the conventions ask."""

    RUN = "agent.run"
    ROUTE_RECOMMENDATION = "agent.route_recommendation"
    ARBITRATE = "agent.arbitrate"
    FINISH = "agent.finish"
    WAIT = "agent.wait"
    CHECKPOINT_SAVE = "checkpoint.save"
    TOOL_CALL = "tool.call"
    INVOKE_AGENT = "invoke_agent "
    """Followed by the role of the step."""
    RETRIEVAL = "retrieval "
    """Followed by the name of the service whose documents are searched."""
    CHAT = "chat "
    """Followed by the model, as are the next two."""
    TEXT_COMPLETION = "text_completion "
    EMBEDDINGS = "embeddings "


class Attributes:
    """Keys of attributes of spans, log records and resources."""

    # Required by name.
    SERVICE_NAME = "service.name"
    THREAD_ID = "thread.id"
    """The run id. Registered elsewhere as the number of a thread of the process: GEN_AI_CONVERSATION_ID, which goes
    with it always, is the one to search by."""
    HOP_COUNT = "hop.count"
    ROUTER_CONFIDENCE = "router.confidence"
    CORRELATION_ID = "correlation.id"

    GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
    GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
    GEN_AI_AGENT_NAME = "gen_ai.agent.name"
    GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"
    GEN_AI_WORKFLOW_NAME = "gen_ai.workflow.name"
    GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
    GEN_AI_REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
    GEN_AI_REQUEST_TEMPERATURE = "gen_ai.request.temperature"
    GEN_AI_REQUEST_TOP_P = "gen_ai.request.top_p"
    GEN_AI_RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
    GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
    GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
    GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
    GEN_AI_EMBEDDINGS_DIMENSION_COUNT = "gen_ai.embeddings.dimension.count"
    GEN_AI_DATA_SOURCE_ID = "gen_ai.data_source.id"
    GEN_AI_TOOL_NAME = "gen_ai.tool.name"
    GEN_AI_TOOL_TYPE = "gen_ai.tool.type"
    GEN_AI_TOOL_CALL_ID = "gen_ai.tool.call.id"
    GEN_AI_TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
    GEN_AI_TOOL_CALL_RESULT = "gen_ai.tool.call.result"

    # OpenInference's, by which a viewer of agents sorts spans and draws their graph.
    OPENINFERENCE_SPAN_KIND = "openinference.span.kind"
    GRAPH_NODE_ID = "graph.node.id"
    GRAPH_NODE_PARENT_ID = "graph.node.parent_id"

    RPC_SYSTEM = "rpc.system"
    RPC_SERVICE = "rpc.service"
    RPC_METHOD = "rpc.method"
    RPC_GRPC_STATUS_CODE = "rpc.grpc.status_code"
    SERVER_ADDRESS = "server.address"
    ERROR_TYPE = "error.type"

    # Ours: of the run and its steps.
    STEP = "milepost.step"
    TASK_ID = "milepost.task.id"
    SERVICE = "milepost.service"
    """The service that a step or a decision is about; `service.name` is the process that made the span."""
    CAPABILITY = "milepost.capability"
    WORKFLOW = "milepost.workflow"
    WORKFLOW_DIGEST = "milepost.workflow.digest"
    EPOCH = "milepost.epoch"
    OUTCOME = "milepost.run.outcome"
    RECOVERIES = "milepost.run.recoveries"
    REMAINING_HOPS = "milepost.remaining_hops"
    CYCLE = "milepost.cycle"
    VERDICT = "milepost.verdict"
    ROUTER_CANDIDATES = "milepost.router.candidates"
    ROUTER_METHOD = "milepost.router.method"
    DECISION = "milepost.decision"
    DECISION_REASON = "milepost.decision.reason"
    DECISION_AGREED = "milepost.decision.agreed"
    """Whether the arbitrator decided as the router recommended."""
    REPLAYED = "milepost.replayed"
    """The answer came from the ledger of the agent, or from the work for an earlier request of the same call."""
    LOST = "milepost.lost"
    """The process died while this span was open; it was written afterwards, from the journal."""
    LOST_CAUSE = "milepost.lost.cause"

    # Ours: of a checkpoint.
    CHECKPOINT_SEQUENCE = "milepost.checkpoint.sequence"
    CHECKPOINT_BYTES = "milepost.checkpoint.bytes"
    CHECKPOINT_BATCH = "milepost.checkpoint.batch"
    CHECKPOINT_COMMIT_MS = "milepost.checkpoint.commit_ms"

    # Ours: of a call, and of the process that served it.
    CALL_ID = "milepost.call.id"
    """The idempotency key."""
    ATTEMPT = "milepost.call.attempt"
    QUEUE_MS = "milepost.queue_ms"
    TOKENS_PER_SECOND = "milepost.tokens_per_second"
    CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
    HITS = "milepost.retrieval.hits"
    BEST_SCORE = "milepost.retrieval.best_score"
    CPU_SECONDS = "milepost.cpu.seconds"
    """CPU time that the process (in a container: all of it) used while the span was open."""
    MEMORY_BYTES = "milepost.memory.bytes"
    """Memory in use when the span ended."""
    MEMORY_LIMIT_BYTES = "milepost.memory.limit_bytes"
    CPU_THROTTLED = "milepost.cpu.throttled_periods"
    """Scheduling periods in which the container used up its CPU limit while the span was open."""
    USAGE_SOURCE = "milepost.usage.source"
    """`cgroup` or `process`: whose CPU and memory these are."""


class Operations:
    """Values of `gen_ai.operation.name`. `plan` is not in the pinned version yet."""

    INVOKE_WORKFLOW = "invoke_workflow"
    INVOKE_AGENT = "invoke_agent"
    PLAN = "plan"
    EXECUTE_TOOL = "execute_tool"
    RETRIEVAL = "retrieval"
    CHAT = "chat"
    TEXT_COMPLETION = "text_completion"
    EMBEDDINGS = "embeddings"


class Kinds:
    """Values of `openinference.span.kind`."""

    CHAIN = "CHAIN"
    AGENT = "AGENT"
    LLM = "LLM"
    EMBEDDING = "EMBEDDING"
    RETRIEVER = "RETRIEVER"
    TOOL = "TOOL"


PROVIDER = "milepost"
"""`gen_ai.provider.name` of the models that Milepost serves itself."""


class Metrics:
    """Names of metrics without the endings that Prometheus adds: `_total`, `_bucket`, `_sum`, `_count`."""

    CALLS = "milepost_calls"
    CALL_SECONDS = "milepost_call_seconds"
    CALLS_ACTIVE = "milepost_calls_active"
    CALLS_QUEUED = "milepost_calls_queued"
    SERVICE_READY = "milepost_service_ready"
    PROMPT_TOKENS = "milepost_prompt_tokens"
    GENERATED_TOKENS = "milepost_generated_tokens"
    CPU_SECONDS = "milepost_cpu_seconds"
    CPU_LIMIT_CORES = "milepost_cpu_limit_cores"
    CPU_THROTTLED_PERIODS = "milepost_cpu_throttled_periods"
    MEMORY_BYTES = "milepost_memory_bytes"
    MEMORY_LIMIT_BYTES = "milepost_memory_limit_bytes"
    OOM_KILLS = "milepost_oom_kills"
    TELEMETRY_EXPORTED = "milepost_telemetry_exported"
    TELEMETRY_DROPPED = "milepost_telemetry_dropped"

    # Under the names of llama.cpp's own server, so that what watches one watches the other.
    LLAMA_PROMPT_TOKENS = "llamacpp:prompt_tokens"
    LLAMA_TOKENS_PREDICTED = "llamacpp:tokens_predicted"
    LLAMA_TOKENS_PER_SECOND = "llamacpp:predicted_tokens_seconds"
    LLAMA_REQUESTS_PROCESSING = "llamacpp:requests_processing"
    LLAMA_REQUESTS_DEFERRED = "llamacpp:requests_deferred"
    LLAMA_KV_CACHE_USAGE = "llamacpp:kv_cache_usage_ratio"
    LLAMA_KV_CACHE_TOKENS = "llamacpp:kv_cache_tokens"
