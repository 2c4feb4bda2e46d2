"""The span of one piece of work of the model, as the conventions for generative AI describe it."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from milepost_model.results import Embeddings, Finished, Scores
from milepost_model.sampling import Sampling
from milepost_service.correlation import current_correlation_id
from milepost_service.telemetry import tracer
from milepost_service.telemetry.conventions import PROVIDER, Attributes, Kinds, Operations, Spans

_NAMES = {
    Operations.CHAT: Spans.CHAT,
    Operations.TEXT_COMPLETION: Spans.TEXT_COMPLETION,
    Operations.EMBEDDINGS: Spans.EMBEDDINGS,
}
_MS = 1000


@contextmanager
def model_span(
    operation: str, model: str, sampling: Sampling | None = None, *, provider: str = PROVIDER
) -> Iterator[trace.Span]:
    """Below the current span, without becoming it: what a consumer does between two tokens is no part of it."""
    attributes: dict[str, str | int | float] = {
        Attributes.CORRELATION_ID: current_correlation_id(),
        Attributes.GEN_AI_OPERATION_NAME: operation,
        Attributes.GEN_AI_PROVIDER_NAME: provider,
        Attributes.GEN_AI_REQUEST_MODEL: model,
        Attributes.OPENINFERENCE_SPAN_KIND: Kinds.EMBEDDING if operation == Operations.EMBEDDINGS else Kinds.LLM,
    }
    if sampling:
        attributes |= {
            Attributes.GEN_AI_REQUEST_MAX_TOKENS: sampling.max_tokens,
            Attributes.GEN_AI_REQUEST_TEMPERATURE: sampling.temperature,
            Attributes.GEN_AI_REQUEST_TOP_P: sampling.top_p,
        }
    span = tracer().start_span(f"{_NAMES[operation]}{model}", attributes=attributes)
    try:
        yield span
    except Exception as error:
        span.set_attribute(Attributes.ERROR_TYPE, type(error).__name__)
        span.set_status(trace.StatusCode.ERROR, str(error))
        raise
    finally:
        span.end()


def tell_finished(span: trace.Span, finished: Finished) -> None:
    """What a generation took."""
    span.set_attributes(
        {
            Attributes.GEN_AI_USAGE_INPUT_TOKENS: finished.prompt_tokens,
            Attributes.GEN_AI_USAGE_OUTPUT_TOKENS: finished.completion_tokens,
            Attributes.CACHED_TOKENS: finished.cached_tokens,
            Attributes.GEN_AI_RESPONSE_FINISH_REASONS: (finished.reason,),
            Attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: finished.first_token_ms / _MS,
            Attributes.TOKENS_PER_SECOND: finished.tokens_per_second,
            Attributes.QUEUE_MS: finished.queue_ms,
        }
    )


def tell_scores(span: trace.Span, scores: Scores) -> None:
    """What scoring took; its candidates are given, so that no token is made."""
    read = scores.prompt_tokens + sum(item.tokens for item in scores.items)
    span.set_attributes(
        {
            Attributes.GEN_AI_USAGE_INPUT_TOKENS: read,
            Attributes.GEN_AI_USAGE_OUTPUT_TOKENS: 0,
            Attributes.QUEUE_MS: scores.queue_ms,
        }
    )


def tell_embeddings(span: trace.Span, embeddings: Embeddings) -> None:
    """What embedding took."""
    span.set_attributes(
        {
            Attributes.GEN_AI_USAGE_INPUT_TOKENS: embeddings.tokens,
            Attributes.GEN_AI_EMBEDDINGS_DIMENSION_COUNT: len(embeddings.vectors[0]),
            Attributes.QUEUE_MS: embeddings.queue_ms,
        }
    )
