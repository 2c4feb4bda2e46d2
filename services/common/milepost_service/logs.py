"""Log lines for people (text) or programs (JSON), each with the correlation id and trace id of its request."""

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime

from opentelemetry import trace

from milepost_service.correlation import current_correlation_id
from milepost_service.settings import ProcessSettings

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def begin_logging(name: str) -> None:
    """For the begin of a process, before its settings are read: what goes wrong then is a line of the log too.

    Errors that nobody caught, on any thread, and warnings are log records from now on.
    """
    if os.environ.get("MILEPOST_LOG_FORMAT") == "json":
        _send_to(JsonFormatter(name))
    log = logging.getLogger(name)
    logging.captureWarnings(True)
    sys.excepthook = lambda *found: log.critical("ended by an error", exc_info=found)
    threading.excepthook = lambda found: log.error(
        "a thread ended by an error",
        exc_info=(found.exc_type, found.exc_value or found.exc_type(), found.exc_traceback),
    )
    sys.unraisablehook = lambda found: log.error(
        "%s: %r", found.err_msg or "an error was passed over", found.object, exc_info=found.exc_value
    )


def last_word(name: str, text: str) -> None:
    """Why the process ends, for whoever started it: one line."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        logging.getLogger(name).error(text)
    else:
        sys.stderr.write(f"{name}: {text}\n")
    sys.stderr.flush()


def configure_logging(settings: ProcessSettings, *, name: str) -> None:
    """Sends all log records of the process to stderr in the format that the settings ask for."""
    _send_to(JsonFormatter(name) if settings.log_format == "json" else TextFormatter(name))
    logging.getLogger().setLevel(settings.log_level)
    for chatty in ("grpc", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _send_to(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)


def extra_fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra=`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields given as `extra=` are keys of it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        span = trace.get_current_span().get_span_context()
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._name,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if correlation_id := current_correlation_id():
            fields["correlation_id"] = correlation_id
        if span.is_valid:
            fields["trace_id"] = trace.format_trace_id(span.trace_id)
            fields["span_id"] = trace.format_span_id(span.span_id)
        fields |= extra_fields(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, then the extra fields and the correlation id."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        extra = extra_fields(record)
        if correlation_id := current_correlation_id():
            extra["correlation_id"] = correlation_id
        tail = "".join(f" {key}={value}" for key, value in extra.items())
        line = f"{time} {record.levelname:<7} {self._name}: {record.getMessage()}{tail}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
