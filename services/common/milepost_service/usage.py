"""What a process uses and does now, as GetUsage and the registration tell it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from milepost.registry.v1 import registry_pb2
from milepost_service.telemetry.resources import Reading, ResourceReader, process_resources

WINDOW_SECONDS = 10.0
_SHORTEST_SECONDS = 0.5


@dataclass(frozen=True)
class Load:
    """Calls that are worked on and that wait, and tokens made since the process began."""

    active: int = 0
    queued: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class _Sample:
    time: float
    cpu_seconds: float
    tokens: int


class UsageMeter:
    """Makes rates of counters: over the last 10 s, or since it was last asked when that is longer ago."""

    def __init__(
        self,
        load: Callable[[], Load],
        reader: ResourceReader | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._reader = reader or process_resources()
        self._now = now
        self._samples = deque([self._sample(self._reader.read(), self._load())])
        self._cores = self._tokens_per_second = 0.0

    def read(self) -> registry_pb2.Usage:
        """The figures of this moment."""
        reading, load = self._reader.read(), self._load()
        self._advance(self._sample(reading, load))
        return registry_pb2.Usage(
            cpu_cores=self._cores,
            memory_bytes=reading.memory_bytes,
            cpu_limit_cores=reading.cpu_limit_cores,
            memory_limit_bytes=reading.memory_limit_bytes,
            tokens_per_second=self._tokens_per_second,
            active_calls=load.active,
            queued_calls=load.queued,
            source=reading.source,
        )

    def _sample(self, reading: Reading, load: Load) -> _Sample:
        return _Sample(self._now(), reading.cpu_seconds, load.tokens)

    def _advance(self, sample: _Sample) -> None:
        if sample.time - self._samples[-1].time < _SHORTEST_SECONDS:
            return  # too short a time to say anything; several agents may ask at once
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].time <= sample.time - WINDOW_SECONDS:
            self._samples.popleft()
        first = self._samples[0]
        seconds = sample.time - first.time
        # A child that ended between two readings takes its CPU time with it until it is waited for.
        self._cores = max(sample.cpu_seconds - first.cpu_seconds, 0.0) / seconds
        self._tokens_per_second = (sample.tokens - first.tokens) / seconds
