"""What a model has to tell Prometheus besides its calls: tokens, and the names that llama.cpp's own server uses."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from milepost_model.engine import Engine
from milepost_service.download_status import DownloadStatus
from milepost_service.telemetry.conventions import Metrics


def engine_metrics(engine: Engine) -> Iterator[Metric]:
    """Counters begin at 0 with the process; tokens of calls that were cancelled count."""
    load = engine.load_now()
    read = engine.prefilled_tokens + engine.embedded_tokens
    counters = (
        (Metrics.PROMPT_TOKENS, "Tokens of prompts and of embedded texts that were computed.", read),
        (Metrics.GENERATED_TOKENS, "Tokens that were made.", engine.generated_tokens),
        (Metrics.LLAMA_PROMPT_TOKENS, "Number of prompt tokens processed.", read),
        (Metrics.LLAMA_TOKENS_PREDICTED, "Number of generation tokens processed.", engine.generated_tokens),
        (Metrics.LLAMA_DECODES, "Total number of llama_decode() calls.", engine.computed_batches),
    )
    for name, text, number in counters:
        yield CounterMetricFamily(name, text, value=number)
    gauges = (
        (Metrics.LLAMA_REQUESTS_PROCESSING, "Number of requests processing.", load.active),
        (Metrics.LLAMA_REQUESTS_DEFERRED, "Number of requests deferred.", load.queued),
        (
            Metrics.LLAMA_TOKENS_PER_SECOND,
            "Tokens a second of the last answer.",
            engine.tokens_per_second,
        ),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(name, text, value=value)
    if engine.makes_text:
        taken = engine.taken_tokens
        yield GaugeMetricFamily(Metrics.LLAMA_KV_CACHE_TOKENS, "KV-cache tokens.", value=taken)
        usage = taken / engine.cache_tokens
        yield GaugeMetricFamily(Metrics.LLAMA_KV_CACHE_USAGE, "KV-cache usage. 1 means 100 percent usage.", value=usage)


def download_metrics(status: DownloadStatus) -> Iterator[Metric]:
    """How far the file of the model is; nothing where none is fetched."""
    transfer = status.transfer
    if transfer is not None:
        yield GaugeMetricFamily(
            Metrics.DOWNLOADED_BYTES, "Bytes of the model's file that are there.", value=transfer.done
        )
        yield GaugeMetricFamily(Metrics.DOWNLOAD_BYTES, "Bytes of the model's file.", value=transfer.total)
