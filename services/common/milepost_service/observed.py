"""Serves the metrics of a service where it is told to."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from milepost_service.serving_stats import ServingStats
from milepost_service.usage import Load

if TYPE_CHECKING:
    from prometheus_client.core import Metric


@contextlib.contextmanager
def observed(
    listen: str,
    stats: ServingStats,
    load: Callable[[], Load],
    engine: "Callable[[], Iterable[Metric]]" = tuple,
) -> Iterator[None]:
    """Inside, the metrics can be read at the address; `engine` tells what an engine has besides. Empty: none.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """
    if not listen:
        yield
        return
    # Takes its time to be imported, which a service without metrics saves.
    from milepost_service.metrics import ServiceMetrics  # noqa: PLC0415
    from milepost_service.prometheus import served  # noqa: PLC0415

    with served(ServiceMetrics(stats, load, engine), listen):
        yield
