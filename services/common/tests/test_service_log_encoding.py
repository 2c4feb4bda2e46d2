"""Our encoding of log records beside OpenTelemetry's own, and what protobuf would refuse."""

import logging
import sys
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from milepost_service.telemetry.conventions import SCHEMA_URL
from milepost_service.telemetry.log_encoding import LONGEST, LogRequest
from milepost_service.telemetry.log_queue import NotedRecord

RESOURCE = {"service.name": "echo", "telemetry.sdk.language": "python"}
SPAN = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def noted(message: str, level: int = logging.INFO, exc_info: Any = None, **extra: object) -> NotedRecord:
    record = logging.makeLogRecord({"name": "milepost.test", "levelno": level, "created": 1000.25, **extra})
    record.levelname, record.exc_info = logging.getLevelName(level), exc_info
    return NotedRecord(record, message, "c-1", set_span_in_context(NonRecordingSpan(SPAN)))


def encoded(*records: NotedRecord) -> Any:
    request = LogRequest(RESOURCE)
    request.add(records)
    assert len(request) == len(records)
    return ExportLogsServiceRequest.FromString(request.encoded())


@pytest.mark.requirement("OBS-1", "OBS-4")
def test_a_record_is_encoded_as_opentelemetry_encodes_it() -> None:
    """Every field is the same, those of the process and of the logger too."""
    theirs = ReadableLogRecord(
        LogRecord(
            timestamp=1_000_250_000_000,
            observed_timestamp=1_000_250_000_000,
            context=set_span_in_context(NonRecordingSpan(SPAN)),
            severity_text="WARNING",
            severity_number=SeverityNumber.WARN,
            body="slow \u00e9",
            attributes={"hop": 3, "share": 0.5, "late": True, "peer": "x", "correlation.id": "c-1"},
        ),
        resource=Resource(RESOURCE, SCHEMA_URL),
        instrumentation_scope=InstrumentationScope("milepost.test", schema_url=SCHEMA_URL),
    )
    ours = encoded(noted("slow \u00e9", logging.WARNING, hop=3, share=0.5, late=True, peer="x"))
    assert ours == ExportLogsServiceRequest.FromString(encode_logs([theirs]).SerializeToString())


@pytest.mark.requirement("OBS-5")
def test_values_that_the_protocol_cannot_hold_cost_no_record() -> None:
    """Half a surrogate pair, a number of more than 64 bits, an object, a text without end."""
    request = encoded(noted("file \udcff", path="\udcff", number=2**63, kind=dict, text="x" * 20_000))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    attributes = {pair.key: pair.value.string_value for pair in record.attributes}
    assert record.body.string_value == "file ?"
    assert attributes["path"] == "?"
    assert attributes["number"] == "9223372036854775808"
    assert attributes["kind"] == "<class 'dict'>"
    assert len(attributes["text"]) == LONGEST


def test_an_exception_is_told_with_its_stack() -> None:
    try:
        raise KeyError("gone")
    except KeyError:
        request = encoded(noted("failed", logging.ERROR, exc_info=sys.exc_info()))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    attributes = {pair.key: pair.value.string_value for pair in record.attributes}
    assert (attributes["exception.type"], attributes["exception.message"]) == ("KeyError", "'gone'")
    assert 'raise KeyError("gone")' in attributes["exception.stacktrace"]
