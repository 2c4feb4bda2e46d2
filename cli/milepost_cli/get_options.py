"""The options of `milepost get`, and what each kind of it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from milepost_cli.errors import UsageError

if TYPE_CHECKING:
    from milepost_cli.backend import Backend
    from milepost_cli.client import RunQuery

    Kinds = argparse._SubParsersAction[Any]

MOST = 10_000
LONGEST_QUERY = 256  # characters


def add_get(commands: Kinds, place: argparse.ArgumentParser, connect: Callable[[argparse.Namespace], Backend]) -> None:
    """Adds `get` with its kinds; each sets `command` to what runs it, on the place that `connect` opens."""
    get = commands.add_parser("get", help="list runs, messages, services or workflows, or show one run")
    kinds = get.add_subparsers(
        metavar="runs|run|messages|services|workflows", required=True, parser_class=commands._parser_class
    )

    def add(name: str, text: str, command: Callable[[Backend, argparse.Namespace], int]) -> argparse.ArgumentParser:
        def run(options: argparse.Namespace) -> int:
            with connect(options) as backend:
                return command(backend, options)

        kind: argparse.ArgumentParser = kinds.add_parser(name, parents=[place], help=text)
        kind.add_argument("--json", action="store_true", help="one JSON object")
        kind.set_defaults(command=run)
        return kind

    runs = add("runs", "runs, newest first", _runs)
    _add_limit(runs)
    runs.add_argument("--run-state", metavar="STATE", help="only of this state, for example waiting")
    runs.add_argument("--outcome", metavar="OUTCOME", help="only of this outcome, for example Failed")
    runs.add_argument("--query", default="", metavar="TEXT", help="only with this in the prompt, or ids that begin so")
    run = add("run", "one run: hops, decisions, times, result", _run)
    run.add_argument("run", metavar="RUN", help="run id, the first characters of it, or correlation id")
    messages = add("messages", "messages between roles: of a run, or the newest of all", _messages)
    messages.add_argument("run", nargs="?", metavar="RUN", help="default: of all runs, newest first")
    _add_limit(messages)
    add("services", "services that the agents know", _services)
    add("workflows", "workflows that are up", _workflows)


def whole_number(text: str, least: int, most: int) -> int:
    """Raises ArgumentTypeError for what is no number from `least` to `most`."""
    if text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: {least} to {most}")


def _add_limit(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--limit", type=_limit, default=50, metavar="N", help="at most so many (default: 50)")


def _limit(text: str) -> int:
    return whole_number(text, 1, MOST)


def _runs(backend: Backend, options: argparse.Namespace) -> int:
    from milepost_cli import get  # noqa: PLC0415 - every command imports only what it needs

    return get.runs(backend, _wanted(options), limit=options.limit, as_json=options.json)


def _run(backend: Backend, options: argparse.Namespace) -> int:
    from milepost_cli import get  # noqa: PLC0415

    return get.run(backend, options.run, as_json=options.json)


def _messages(backend: Backend, options: argparse.Namespace) -> int:
    from milepost_cli import messages  # noqa: PLC0415

    if options.run is None:
        return messages.newest(backend, limit=options.limit, as_json=options.json)
    return messages.show(backend, options.run, as_json=options.json)


def _services(backend: Backend, options: argparse.Namespace) -> int:
    from milepost_cli import get  # noqa: PLC0415

    return get.services(backend, as_json=options.json)


def _workflows(backend: Backend, options: argparse.Namespace) -> int:
    from milepost_cli import get  # noqa: PLC0415

    return get.workflows(backend, as_json=options.json)


def _wanted(options: argparse.Namespace) -> RunQuery:
    """Raises UsageError for a state or an outcome that there is not, and for a text that is too long."""
    from milepost.agent.v1 import agent_pb2  # noqa: PLC0415
    from milepost_cli.client import RunQuery  # noqa: PLC0415

    if len(options.query) > LONGEST_QUERY:
        raise UsageError(f"--query: has {len(options.query)} characters; allowed: at most {LONGEST_QUERY}")
    fields = agent_pb2.Run.DESCRIPTOR.fields_by_name
    return RunQuery(
        _value("--run-state", options.run_state, fields["state"]),
        _value("--outcome", options.outcome, fields["outcome"]),
        options.query,
    )


def _value(option: str, given: str | None, field: Any) -> Any:
    from milepost_service.json_form import words  # noqa: PLC0415

    known = {words(field, value.number): value.number for value in field.enum_type.values if value.number}
    if given is None:
        return 0
    if given not in known:
        raise UsageError(f"{option}: there is no {given!r}; allowed: {', '.join(known)}")
    return known[given]
