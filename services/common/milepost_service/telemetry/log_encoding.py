"""Log records as an OTLP request."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.trace import get_current_span

from milepost_service.logs import extra_fields
from milepost_service.telemetry.conventions import SCHEMA_URL, Attributes
from milepost_service.telemetry.encoding import Value, clean, nanoseconds, set_attributes
from milepost_service.telemetry.log_queue import NotedRecord

LONGEST: Final = 16384
"""Characters of a message or of a field that are sent."""
_SEVERITIES: Final = {
    logging.DEBUG: logs_pb2.SEVERITY_NUMBER_DEBUG,
    logging.INFO: logs_pb2.SEVERITY_NUMBER_INFO,
    logging.WARNING: logs_pb2.SEVERITY_NUMBER_WARN,
    logging.ERROR: logs_pb2.SEVERITY_NUMBER_ERROR,
    logging.CRITICAL: logs_pb2.SEVERITY_NUMBER_FATAL,
}


class LogRequest:
    """An ExportLogsServiceRequest in the making, of records of the one process that `resource` describes."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._request = ExportLogsServiceRequest()
        self._of_process = self._request.resource_logs.add(schema_url=SCHEMA_URL)
        set_attributes(self._of_process.resource.attributes, resource)
        self._by_logger: dict[str, Any] = {}
        self._number = 0

    def __len__(self) -> int:
        """How many records it has."""
        return self._number

    def add(self, noted: Iterable[NotedRecord]) -> None:
        for each in noted:
            _add(self._records_of(each.record.name), each)
            self._number += 1

    def encoded(self) -> bytes:
        return self._request.SerializeToString()

    def _records_of(self, logger: str) -> Any:
        """Where records of a logger belong; to OTLP it is the scope that they were made in."""
        if logger not in self._by_logger:
            scope = self._of_process.scope_logs.add(schema_url=SCHEMA_URL)
            scope.scope.name = clean(logger)
            self._by_logger[logger] = scope.log_records
        return self._by_logger[logger]


def _add(target: Any, noted: NotedRecord) -> None:
    record, span = noted.record, get_current_span(noted.context).get_span_context()
    time = nanoseconds(record.created)
    encoded = target.add(
        time_unix_nano=time,
        observed_time_unix_nano=time,
        severity_number=_SEVERITIES.get(record.levelno, logs_pb2.SEVERITY_NUMBER_UNSPECIFIED),
        severity_text=record.levelname,
    )
    encoded.body.string_value = clean(noted.message[:LONGEST])
    if span.is_valid:
        encoded.trace_id, encoded.span_id = span.trace_id.to_bytes(16), span.span_id.to_bytes(8)
        encoded.flags = span.trace_flags
    set_attributes(encoded.attributes, _attributes(noted))


def _attributes(noted: NotedRecord) -> dict[str, Value]:
    record = noted.record
    attributes: dict[str, Value] = {
        key: value if isinstance(value, bool | int | float) else str(value)[:LONGEST]
        for key, value in extra_fields(record).items()
    }
    if noted.correlation_id:
        attributes[Attributes.CORRELATION_ID] = noted.correlation_id
    if record.exc_info and record.exc_info[0] is not None:
        attributes |= {
            Attributes.EXCEPTION_TYPE: record.exc_info[0].__name__,
            Attributes.EXCEPTION_MESSAGE: str(record.exc_info[1])[:LONGEST],
            Attributes.EXCEPTION_STACKTRACE: logging.Formatter().formatException(record.exc_info)[-LONGEST:],
        }
    return attributes
