"""Serves the metrics of a service where it is told to."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from milepost_service.observability import add_metrics
from milepost_service.serving_stats import ServingStats
from milepost_service.usage import Load

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from milepost_service.metrics import ServiceMetrics


@contextlib.contextmanager
def observed(
    listen: str,
    stats: ServingStats,
    load: Callable[[], Load],
    engine: "Callable[[], Iterable[Metric]]" = tuple,
) -> Iterator[None]:
    """Inside, the metrics are exported in debug, and can be read at the address unless it is empty.

    `engine` tells what an engine has besides.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """

    def metrics() -> "ServiceMetrics":
        # Takes its time to be imported, which a service without metrics saves.
        from milepost_service.metrics import ServiceMetrics  # noqa: PLC0415

        return ServiceMetrics(stats, load, engine)

    def exported() -> "Iterator[Metric]":
        from milepost_service.prometheus import process_metrics  # noqa: PLC0415 - as above

        yield from metrics().collect()
        yield from process_metrics()

    stop = add_metrics(exported)
    try:
        if not listen:
            yield
            return
        from milepost_service.prometheus import served  # noqa: PLC0415 - as above

        with served(metrics(), listen):
            yield
    finally:
        stop()
