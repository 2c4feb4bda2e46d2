"""Log lines on stderr: JSON for programs, text for people; each with the fields of the pass that it belongs to."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

NAME = "milepost-operator"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET_SECONDS = 10.0

Fields = Callable[[], Mapping[str, str]]


def configure_logging(level: str, form: str, fields: Fields) -> None:
    """Sends all records of the process to stderr; `form` is json or text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(fields) if form == "json" else _Text(fields))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # Bodies of requests could hold Secrets, and are logged by these at DEBUG.
    for noisy in ("urllib3", "kubernetes", "aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    kopf = logging.getLogger("kopf")
    kopf.setLevel(logging.WARNING)
    # A dozen watches fail together when the API server goes: one line tells it.
    handler.addFilter(_OncePerOutage())


def begin_logging() -> None:
    """For the begin of the process, before its settings are read; errors that nobody caught are records from now on."""
    if os.environ.get("MILEPOST_LOG_FORMAT") == "json":
        configure_logging("WARNING", "json", dict)
    log = logging.getLogger(NAME)
    logging.captureWarnings(True)
    sys.excepthook = lambda *found: log.critical("ended by an error", exc_info=found)
    threading.excepthook = lambda found: log.error(
        "a thread ended by an error",
        exc_info=(found.exc_type, found.exc_value or found.exc_type(), found.exc_traceback),
    )


def last_word(text: str) -> None:
    """Why the process ends, for whoever started it: one line."""
    if any(isinstance(handler.formatter, _Json) for handler in logging.getLogger().handlers):
        logging.getLogger(NAME).error(text)
    else:
        sys.stderr.write(f"{NAME}: {text}\n")


class _OncePerOutage(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kopf"):
            return True
        record.exc_info = None  # why it gave up is told in a line of ours
        if record.getMessage().startswith("OS signals are ignored"):
            return False  # they are ours
        if not record.getMessage().startswith("Request attempt"):
            return True
        now = time.monotonic()
        if now - self._last < _QUIET_SECONDS:
            return False
        self._last = now
        return True


class _Json(logging.Formatter):
    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": NAME,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {**self._fields(), **_extra(record)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        tail = "".join(f" {key}={value}" for key, value in {**self._fields(), **_extra(record)}.items())
        line = f"{moment} {record.levelname:<7} {record.getMessage()}{tail}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _extra(record: logging.LogRecord) -> dict[str, object]:
    # kopf hangs the whole object on its records.
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("k8s_")}
