"""What a model behind a URL has to tell Prometheus besides its calls."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from milepost_model.remote.engine import RemoteEngine
from milepost_service.telemetry.conventions import Metrics


def engine_metrics(engine: RemoteEngine) -> Iterator[Metric]:
    """Under the names of a model that is served here, where they mean the same. Tokens are the server's count."""
    load = engine.load_now()
    read = engine.asking.prompt_tokens + engine.embedded_tokens
    counters = (
        (Metrics.PROMPT_TOKENS, "Tokens of prompts and of embedded texts that were sent.", read),
        (Metrics.GENERATED_TOKENS, "Tokens that were made.", load.tokens),
        (Metrics.LLAMA_PROMPT_TOKENS, "Number of prompt tokens processed.", read),
        (Metrics.LLAMA_TOKENS_PREDICTED, "Number of generation tokens processed.", load.tokens),
    )
    for name, text, number in counters:
        yield CounterMetricFamily(name, text, value=number)
    gauges = (
        (Metrics.LLAMA_REQUESTS_PROCESSING, "Number of requests processing.", load.active),
        (Metrics.LLAMA_REQUESTS_DEFERRED, "Number of requests deferred.", load.queued),
        (Metrics.LLAMA_TOKENS_PER_SECOND, "Tokens a second of the last answer.", engine.tokens_per_second),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(name, text, value=value)
    retries = CounterMetricFamily(Metrics.MODEL_RETRIES, "Requests that were sent again.", labels=["code"])
    for code, count in sorted(engine.attempts.retries.items()):
        retries.add_metric([code], count)
    yield retries
