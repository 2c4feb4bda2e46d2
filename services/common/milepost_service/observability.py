"""A process in its observability mode: how much it logs, what it exports, whom it follows."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from milepost_service.metadata import OBSERVABILITY, first_value
from milepost_service.settings import ProcessSettings
from milepost_service.telemetry.log_queue import LogQueue
from milepost_service.telemetry.mode import Mode, process_mode

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from milepost_service.telemetry.otlp_debug import DebugExport

MetricSource = Callable[[], "Iterable[Metric]"]
"""Gives the metrics of this moment, in Prometheus' terms; called in a thread of its own."""

_log = logging.getLogger(__name__)
_sources: list[MetricSource] = []


def add_metrics(source: MetricSource) -> Callable[[], None]:
    """Exports what the source gives while the process is in debug; returns what ends that."""
    _sources.append(source)
    return lambda: _sources.remove(source)


class ModeInterceptor(grpc.aio.ServerInterceptor):
    """Puts this process into debug for as long as its callers say that they are."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if value := first_value(handler_call_details.invocation_metadata, OBSERVABILITY):
            process_mode.hear(value)
        return await continuation(handler_call_details)


class ProcessObservability:
    """Begins with the mode that the settings name and follows each change until it is closed."""

    def __init__(self, settings: ProcessSettings, name: str) -> None:
        self._log_level = settings.log_level
        self._switch = _DebugSwitch(name)
        self._ends = [process_mode.listen(self._set_level), process_mode.listen(self._switch.follow)]
        process_mode.decide(settings.obs_mode or "shipping")

    async def close(self) -> None:
        """Sends what is queued, for two seconds at most."""
        for end in self._ends:
            end()
        process_mode.close()
        await asyncio.to_thread(self._switch.close)

    def _set_level(self, mode: Mode) -> None:
        logging.getLogger().setLevel(logging.DEBUG if mode == "debug" else self._log_level)


class _DebugSwitch:
    """Starts and stops the export of debug in a thread, because it takes its time to be imported."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: _Session | None = None

    def follow(self, mode: Mode) -> None:
        if mode == "debug":
            self._session = _Session(self._name, after=self._session)
        elif self._session is not None:
            self._session.stop()

    def close(self) -> None:
        if self._session is not None:
            self._session.stop()
            self._session.wait()


class _Session:
    """One time in debug."""

    def __init__(self, name: str, after: "_Session | None") -> None:
        self._name = name
        self._after = after
        self._stop = threading.Event()
        self._queue = LogQueue()
        self._export: DebugExport | None = None
        self._thread = threading.Thread(target=self._run, name="debug-export", daemon=True)
        self._queue.own_thread = self._thread
        logging.getLogger().addHandler(self._queue)
        self._thread.start()

    def stop(self) -> None:
        """Returns at once."""
        logging.getLogger().removeHandler(self._queue)
        self._stop.set()

    def wait(self) -> None:
        """Until it has ended; breaks it off after two seconds."""
        self._thread.join(2.0)
        if self._export is not None and self._thread.is_alive():
            self._export.abort()
            self._thread.join(1.0)

    def _run(self) -> None:
        if self._after is not None:
            self._after.wait()
            self._after = None
        try:
            from milepost_service.telemetry import otlp_debug  # noqa: PLC0415 - in debug alone

            self._export = otlp_debug.DebugExport(self._name, lambda: [*_sources], self._queue, self._stop)
            self._export.run()
        except Exception:
            _log.exception("metrics and logs are not exported")
        finally:
            logging.getLogger().removeHandler(self._queue)
            self._queue.give_up()
