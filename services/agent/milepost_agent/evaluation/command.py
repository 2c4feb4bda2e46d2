"""The command: reads its files, measures, writes what it found.

Nothing here imports numpy before the router does: the time of the first answer counts that import too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.evaluation.queries import LabelledQueries, one_service_a_tag, read_queries
from milepost_agent.evaluation.services_file import Services, read_services
from milepost_agent.router import BackgroundRouter, default_model_file

if TYPE_CHECKING:
    from milepost_agent.evaluation.report import Report

PROGRAM = "milepost router eval"
UNUSABLE = 2
INTERRUPTED = 130
PROGRESS_SECONDS = 0.2


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EvaluationError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when it was measured, 2 with one line for what whoever called can put right."""
    logging.getLogger("milepost_agent").setLevel(logging.ERROR)  # the report itself says which path answers, and why
    try:
        options = parser().parse_args(arguments)
        report = evaluate(options.data, options.services, options.model)
        if options.diagram is not None:
            _draw(report, options.diagram)
        _write(report, as_json=options.json)
    except EvaluationError as error:
        sys.stderr.write(f"milepost: {error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> argparse.ArgumentParser:
    made = Parser(prog=PROGRAM, description="How right, how sure and how fast the router is.", allow_abbrev=False)
    made.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="labelled queries, one JSON object a line"
    )
    made.add_argument("--services", type=Path, metavar="FILE", help="manifests or a list of services to route over")
    made.add_argument("--model", type=Path, metavar="FILE", help="another embedding model (GGUF)")
    made.add_argument("--diagram", type=Path, metavar="FILE", help="write a reliability diagram (SVG)")
    made.add_argument("--json", action="store_true", help="one JSON object")
    return made


def evaluate(data: Path, services_file: Path | None, model: Path | None) -> Report:
    """Measure the router on the queries of a file.

    Raises:
        EvaluationError: one of the files cannot be used.
    """
    services = read_services(services_file) if services_file else Services(one_service_a_tag(), ())
    queries = read_queries(data, services.ready)
    if model is not None and not model.is_file():
        raise EvaluationError(f"{model}: is no file; allowed: a model as GGUF")
    chosen = model or default_model_file()
    router = BackgroundRouter(chosen)
    started = time.perf_counter()
    router.recommend(queries.examples[0].query, queries.services)
    cold = (time.perf_counter() - started) * 1000

    from milepost_agent.evaluation.measuring import measured  # noqa: PLC0415 - numpy, see above

    return measured(router, chosen, queries, cold, data=data, notes=_notes(services, queries), tell=_progress(queries))


def _notes(services: Services, queries: LabelledQueries) -> tuple[str, ...]:
    if not queries.unserved or not queries.services:
        return services.notes
    return (*services.notes, f"{queries.unserved} queries have a label that no service carries: none is right for them")


def _progress(queries: LabelledQueries) -> Callable[[int], None]:
    """Shows on a terminal how many queries are done, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda done: None
    total = len(queries.examples)
    shown = time.monotonic()

    def tell(done: int) -> None:
        nonlocal shown
        if done == total:
            sys.stderr.write("\r\x1b[K")
        elif time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(f"\r{done} of {total} queries")
        sys.stderr.flush()

    return tell


def _draw(report: Report, path: Path) -> None:
    from milepost_agent.evaluation.diagram import reliability_diagram  # noqa: PLC0415 - numpy, see above

    try:
        path.write_text(reliability_diagram(report), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}); allowed: a file in a folder that is there"
        ) from None


def _write(report: Report, *, as_json: bool) -> None:
    from milepost_agent.evaluation import report as forms  # noqa: PLC0415 - numpy, see above

    text = json.dumps(forms.as_json(report), ensure_ascii=False) + "\n" if as_json else forms.as_text(report)
    sys.stdout.write(text)
    sys.stdout.flush()
