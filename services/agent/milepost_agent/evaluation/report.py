"""What an evaluation found: as one JSON object, and as a page for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from milepost_agent.evaluation.errors import printable
from milepost_agent.evaluation.metrics import Bin, Latency, Quality

TITLES = {
    "top1": "top-1",
    "top2": "top-2",
    "macro_f1": "macro-F1",
    "ece": "ECE",
    "brier": "Brier",
    "auroc": "AUROC",
    "oos_recall_at_95": "recall@95",
    "wrong_above_0_8": "wrong>0.8",
}
NAME_WIDTH = 10
DIGITS = 3


@dataclass(frozen=True)
class Report:
    """The router's numbers beside those of the baselines.

    `paths` counts which path of the router answered, `cold_ms` is the time from nothing loaded to the first answer,
    `none_answers` how often "none" was the most probable answer. A baseline that could not be made is None.
    """

    data: str
    services: tuple[str, ...]
    queries: int
    in_scope: int
    paths: Mapping[str, int]
    fallback_reason: str | None
    quality: Quality
    latency: Latency
    cold_ms: float
    none_answers: int
    baselines: Mapping[str, Quality | None]
    bins: tuple[Bin, ...]
    notes: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path that answered most queries."""
        return max(self.paths, key=lambda path: self.paths[path])


def as_json(report: Report) -> dict[str, Any]:
    """Values that `json.dumps` takes, rounded to six digits; what cannot be said is None, nothing is NaN."""
    found = asdict(report)
    quality, latency = found.pop("quality"), found.pop("latency")
    ordered = {"data": found.pop("data"), "path": report.path, **quality, **latency, **found}
    return {name: _rounded(value) for name, value in ordered.items()}


def as_text(report: Report) -> str:
    """A table of the router and its baselines, times, and notes."""
    return "\n".join(map(printable, _lines(report))) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def _lines(report: Report) -> Iterator[str]:
    paths = ", ".join(f"{path} {count}" for path, count in report.paths.items())
    yield f"{report.queries} queries of {report.data}, {report.in_scope} of them in scope of {_services(report)}"
    yield f"answered by {paths}; {report.none_answers} times none"
    if report.fallback_reason:
        yield f"because {report.fallback_reason}"
    yield ""
    yield " " * NAME_WIDTH + "".join(f"{title:>11}" for title in TITLES.values())
    yield _row("router", report.quality)
    for name, quality in report.baselines.items():
        yield _row(name, quality) if quality else f"{name:<{NAME_WIDTH}}{'-':>11}"
    times = report.latency
    yield ""
    yield f"latency   p50 {times.p50_ms:.1f} ms, p95 {times.p95_ms:.1f} ms, p99 {times.p99_ms:.1f} ms"
    yield f"cold      {report.cold_ms:.0f} ms from nothing loaded to the first answer"
    yield from (f"note      {note}" for note in report.notes)


def _services(report: Report) -> str:
    return f"{len(report.services)} ready service{'' if len(report.services) == 1 else 's'}"


def _row(name: str, quality: Quality) -> str:
    cells = (getattr(quality, field.name) for field in fields(Quality))
    return f"{name:<{NAME_WIDTH}}" + "".join(f"{_shown(cell):>11}" for cell in cells)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}f}"
