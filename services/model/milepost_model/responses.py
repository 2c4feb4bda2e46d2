"""What a model answers as messages of gRPC, whatever computes it."""

from milepost.capability.v1 import capability_pb2
from milepost.model.v1 import model_pb2
from milepost_model.results import Embeddings, Finished, Scores
from milepost_service.telemetry.conventions import Operations

_REASONS = {
    "stop": model_pb2.GenerateResult.FINISH_REASON_STOP,
    "length": model_pb2.GenerateResult.FINISH_REASON_LENGTH,
}


def operation_of(request: model_pb2.GenerateRequest | model_pb2.ScoreRequest) -> str:
    """What the span of the request is called after."""
    return Operations.CHAT if request.WhichOneof("input") == "chat" else Operations.TEXT_COMPLETION


def generated(item: Finished) -> model_pb2.GenerateResult:
    """The end of a Generate."""
    return model_pb2.GenerateResult(
        finish_reason=_REASONS[item.reason],
        prompt_tokens=item.prompt_tokens,
        completion_tokens=item.completion_tokens,
        estimated=item.estimated,
    )


def invoked(item: Finished) -> capability_pb2.InvokeResult:
    """The end of an Invoke, but for its text."""
    usage = capability_pb2.Usage(
        prompt_tokens=item.prompt_tokens,
        completion_tokens=item.completion_tokens,
        queue_ms=item.queue_ms,
        estimated=item.estimated,
    )
    return capability_pb2.InvokeResult(verdict=item.choice, usage=usage)


def scored(scores: Scores) -> model_pb2.ScoreResponse:
    """The answer to a Score."""
    return model_pb2.ScoreResponse(
        candidates=[
            model_pb2.ScoredCandidate(
                candidate=item.text,
                log_probability=item.log_probability,
                tokens=item.tokens,
                baseline_log_probability=item.baseline_log_probability,
            )
            for item in scores.items
        ],
        truncated=scores.truncated,
    )


def embedded(embeddings: Embeddings) -> model_pb2.EmbedResponse:
    """The answer to an Embed."""
    return model_pb2.EmbedResponse(embeddings=[model_pb2.Embedding(values=vector) for vector in embeddings.vectors])
