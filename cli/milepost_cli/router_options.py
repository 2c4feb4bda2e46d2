"""The options of `milepost router`, and what each kind of it runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    Kinds = argparse._SubParsersAction[Any]

OPTIONS = ("data", "services", "model", "language-model", "deadline", "diagram")
"""Of `router eval`, with a value; the evaluation takes the same."""


def add_router(commands: Kinds) -> None:
    """Adds `router` with its kinds; each sets `command` to what runs it."""
    router = commands.add_parser("router", help="measure the router that recommends services")
    kinds = router.add_subparsers(metavar="eval", required=True, parser_class=commands._parser_class)
    evaluate = kinds.add_parser(
        "eval", help="how right, how sure and how fast it is on labelled queries, beside simple baselines"
    )
    evaluate.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help='JSON lines {"query": "...", "label": "..."}; labels: coding, review, rag, tools, general, none, '
        "and the tags of the services",
    )
    evaluate.add_argument(
        "--services",
        metavar="FILE",
        help="route over these: manifests or a folder of them, a list of services as YAML or JSON, or what `milepost "
        "get services --json` wrote (default: one service for each label)",
    )
    evaluate.add_argument("--model", metavar="FILE", help="another embedding model (GGUF)")
    evaluate.add_argument("--language-model", metavar="FILE", help="a larger model (GGUF) that is asked first")
    evaluate.add_argument("--deadline", metavar="TIME", help="time for one answer of the larger model (default: 2s)")
    evaluate.add_argument("--diagram", metavar="FILE", help="write a reliability diagram (SVG)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object")
    evaluate.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> NoReturn:
    from milepost_cli import router  # noqa: PLC0415 - every command imports only what it needs

    given = {name: value for name in OPTIONS if (value := getattr(options, name.replace("-", "_"))) is not None}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    router.become_evaluation([*arguments, "--json"] if options.json else arguments)
