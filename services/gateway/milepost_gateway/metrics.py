"""What the gateway counts, as Prometheus reads it."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from milepost_gateway.hub import Hub

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of requests and streams; who is connected is looked up when it is asked for."""

    def __init__(self, hub: Hub) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "milepost_gateway_requests",
            "Requests answered, by route and status code",
            ("method", "route", "code"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "milepost_gateway_request_seconds",
            "Time until a request was answered, streams left out",
            ("route",),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self.resyncs = Counter(
            "milepost_gateway_resyncs", "Times that a client was told to look anew", registry=self._registry
        )
        self._registry.register(_Connections(hub))

    def answered(self, method: str, route: str, code: int, seconds: float | None) -> None:
        self._requests.labels(method, route, str(code)).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Connections(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "milepost_gateway_stream_clients", "Streams of events that are open", value=self._hub.clients
        )
        connected = GaugeMetricFamily(
            "milepost_gateway_upstream_connected", "Whether the journal of an agent is followed", labels=["agent"]
        )
        for feed in self._hub.fleet.feeds:
            connected.add_metric([feed.agent.id], float(feed.connected))
        yield connected
