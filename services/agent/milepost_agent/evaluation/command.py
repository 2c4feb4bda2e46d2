"""The command: reads its files, measures, writes what it found.

Nothing here imports numpy before the router does: the time of the first answer counts that import too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.evaluation.progress import Progress
from milepost_agent.evaluation.queries import LabelledQueries, one_service_a_tag, read_queries
from milepost_agent.evaluation.services_file import Services, read_services
from milepost_agent.router import BackgroundRouter, LanguageModelSettings, default_model_file
from milepost_crds import parse_duration

if TYPE_CHECKING:
    from milepost_agent.evaluation.report import Report

PROGRAM = "milepost router eval"
UNUSABLE = 2
INTERRUPTED = 130
LOAD_SECONDS = 900.0
"""For a larger model to be read from a slow disk, and to be calibrated."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EvaluationError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when it was measured, 2 with one line for what whoever called can put right."""
    try:
        options = parser().parse_args(arguments)
        if options.diagram is not None and not options.diagram.absolute().parent.is_dir():
            raise EvaluationError(
                f"{options.diagram}: its folder is not there; allowed: a file in a folder that is there"
            )
        report = evaluate(options)
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
    """The options of `milepost router eval`."""
    made = Parser(prog=PROGRAM, description="How right, how sure and how fast the router is.", allow_abbrev=False)
    add = partial(made.add_argument, type=Path, metavar="FILE")
    add("--data", required=True, help="labelled queries, one JSON object a line")
    add("--services", help="manifests or a list of services to route over")
    add("--model", help="another embedding model (GGUF)")
    add("--language-model", help="a larger model (GGUF) that is asked first")
    made.add_argument("--deadline", metavar="TIME", help="time for one answer of the larger model (default: 2s)")
    add("--diagram", help="write a reliability diagram (SVG)")
    made.add_argument("--json", action="store_true", help="one JSON object")
    return made


def evaluate(options: argparse.Namespace) -> Report:
    """Measure the router on the queries of a file.

    Raises:
        EvaluationError: one of the files cannot be used.
    """
    larger = _language_model(options)
    model = _file(options.model) if options.model else default_model_file()
    services = read_services(options.services) if options.services else Services(one_service_a_tag(), ())
    queries = read_queries(options.data, services.ready)
    progress = Progress(len(queries.examples))
    router = BackgroundRouter(model, larger)
    try:
        started = time.perf_counter()
        router.recommend(queries.examples[0].query, queries.services)
        cold = (time.perf_counter() - started) * 1000
        if larger is not None:
            progress.say(f"loading {options.language_model}")
            router.load().wait_for_language_model(LOAD_SECONDS)

        from milepost_agent.evaluation.measuring import measured  # noqa: PLC0415 - numpy, see above

        return measured(
            router,
            model,
            queries,
            cold,
            data=options.data,
            notes=_notes(services, queries),
            larger=larger is not None,
            progress=progress,
        )
    finally:
        progress.clear()
        router.close()


def _language_model(options: argparse.Namespace) -> LanguageModelSettings | None:
    if options.language_model is None:
        if options.deadline is not None:
            raise EvaluationError("--deadline: is for --language-model alone")
        return None
    path = _file(options.language_model)
    kept_in = default_model_file().parent / "router"
    if options.deadline is None:
        return LanguageModelSettings(lambda: path, kept_in=kept_in)
    try:
        return LanguageModelSettings(lambda: path, parse_duration(options.deadline), kept_in=kept_in)
    except ValueError:
        raise EvaluationError(f"--deadline: {options.deadline!r} is no time; allowed: for example 2s") from None


def _file(path: Path) -> Path:
    if not path.is_file():
        raise EvaluationError(f"{path}: is no file; allowed: a model as GGUF")
    return path


def _notes(services: Services, queries: LabelledQueries) -> tuple[str, ...]:
    if not queries.unserved or not queries.services:
        return services.notes
    return (*services.notes, f"{queries.unserved} queries have a label that no service carries: none is right for them")


def _draw(report: Report, path: Path) -> None:
    from milepost_agent.evaluation.diagram import reliability_diagram  # noqa: PLC0415 - numpy, see above

    try:
        path.write_text(reliability_diagram(report), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}); allowed: a file in a folder that can be written to"
        ) from None


def _write(report: Report, *, as_json: bool) -> None:
    from milepost_agent.evaluation import report as forms  # noqa: PLC0415 - numpy, see above

    text = json.dumps(forms.as_json(report)) + "\n" if as_json else forms.as_text(report)
    sys.stdout.write(text)
    sys.stdout.flush()
