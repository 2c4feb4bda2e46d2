"""The `milepost` command. Imports what a command needs when it is given, so that each starts fast."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from milepost_cli.errors import CliError, NotRunningError, UsageError
from milepost_cli.get_options import add_get, whole_number
from milepost_cli.router_options import add_router
from milepost_cli.state import DEFAULT_STATE, StateDirectory

if TYPE_CHECKING:
    from milepost_cli.backend import Backend

Command = Callable[[argparse.Namespace], int]
INTERRUPTED = 130
TERMINATED = 143
FOR_A_CLUSTER = "for a cluster say --namespace NAME"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. 2 stands for anything that the user can put right."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        options = parser().parse_args(arguments)
        command: Command = options.command
        code = command(options)
        sys.stdout.flush()
    except CliError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"milepost: {line}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def parser() -> argparse.ArgumentParser:
    """All commands; each sets `command` to what runs it."""
    top = Parser(prog="milepost", description="LLM agent workflows that survive anything.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"milepost {distribution_version('milepost')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    local = _local_options()
    place = _place_options(local)
    _add_up(commands, local)
    _add_run(commands, place)
    add_get(commands, place, _backend)
    _add_steering(commands, place)
    _add_backups(commands, place)
    _add_obs(commands, place)
    add_router(commands)
    ui = commands.add_parser(
        "ui",
        parents=[place],
        help="print the address of the web UI, and open it where there is a display; to a cluster's, until Ctrl-C",
    )
    ui.add_argument("--print-only", action="store_true", help="do not open it")
    ui.set_defaults(command=_ui)
    down = commands.add_parser("down", parents=[local], help="stop what `milepost up` runs; the state is kept")
    down.set_defaults(command=_down)
    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return top


def _local_options() -> Parser:
    local = Parser(add_help=False)
    local.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"state directory of local mode (default: $MILEPOST_STATE or {DEFAULT_STATE})",
    )
    return local


def _place_options(local: Parser) -> Parser:
    """Where the agents are: local mode, or a cluster as soon as one of its options is given."""
    place = Parser(add_help=False, parents=[local])
    cluster = place.add_argument_group("cluster", "any of these chooses a Kubernetes cluster instead of local mode")
    cluster.add_argument(
        "--namespace",
        "-n",
        type=_not_empty,
        metavar="NAME",
        help="namespace (default: $MILEPOST_NAMESPACE, else that of the context)",
    )
    cluster.add_argument(
        "--context",
        type=_not_empty,
        metavar="NAME",
        help="context of the kubeconfig (default: $MILEPOST_CONTEXT, else the current one)",
    )
    cluster.add_argument(
        "--kubeconfig",
        type=_not_empty,
        metavar="FILE",
        help="kubeconfig (default: $KUBECONFIG or ~/.kube/config)",
    )
    return place


def _add_up(commands: Commands, local: Parser) -> None:
    up = commands.add_parser("up", parents=[local], help="run manifests on this machine until Ctrl-C")
    up.add_argument("files", nargs="+", type=Path, metavar="FILE", help="manifests, or folders of them")
    up.add_argument("--port", type=_port, metavar="N", help="port of the first agent (default: 50051, or any free one)")
    up.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="CLAIM=DIR",
        help="folder to use for a PersistentVolumeClaim; may be given more than once",
    )
    up.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder to use for a Secret, with a file for each key; may be given more than once",
    )
    ui = up.add_mutually_exclusive_group()
    ui.add_argument(
        "--ui-port", type=_port, metavar="N", help="port of the web UI (default: 8400, or the next free one)"
    )
    ui.add_argument("--no-ui", action="store_true", help="without the web UI")
    up.set_defaults(command=_up)


def _add_run(commands: Commands, place: Parser) -> None:
    run = commands.add_parser("run", parents=[place], help="start a run of a workflow")
    run.add_argument("workflow", metavar="WORKFLOW")
    run.add_argument("text", metavar="TEXT", help='what you want; "-" reads standard input')
    run.add_argument(
        "--follow", "-f", action="store_true", help="show the run until it ends; exit code 1 unless Completed"
    )
    run.add_argument("--json", action="store_true", help="JSON; with --follow one object a line")
    run.add_argument("--correlation-id", metavar="UUID", help="the same id and text again is the same run")
    run.set_defaults(command=_run)
    watch = commands.add_parser("watch", parents=[place], help="show a run from its beginning until it ends")
    watch.add_argument("run", metavar="RUN")
    watch.add_argument("--json", action="store_true", help="one JSON object a line")
    watch.set_defaults(command=_watch)


def _add_steering(commands: Commands, place: Parser) -> None:
    cancel = commands.add_parser("cancel", parents=[place], help="end a run as Cancelled")
    cancel.add_argument("run", metavar="RUN")
    cancel.add_argument("--reason", default="", metavar="TEXT")
    cancel.set_defaults(command=_cancel)
    pause = commands.add_parser("pause", parents=[place], help="hold a run at the end of the step that it is in")
    pause.add_argument("run", metavar="RUN")
    pause.add_argument("--reason", default="", metavar="TEXT")
    pause.set_defaults(command=_pause)
    resume = commands.add_parser("resume", parents=[place], help="let a paused run go on")
    resume.add_argument("run", metavar="RUN")
    resume.set_defaults(command=_resume)
    message = commands.add_parser("message", parents=[place], help="send a message to a role's next step")
    message.add_argument("run", metavar="RUN")
    message.add_argument("role", metavar="ROLE")
    message.add_argument("text", metavar="TEXT", help='the message; "-" reads standard input')
    message.add_argument("--id", metavar="UUID", help="the same id and text again is the same message")
    message.set_defaults(command=_message)
    answer = commands.add_parser("answer", parents=[place], help="answer the question that a run waits for")
    answer.add_argument("run", metavar="RUN")
    answer.add_argument("question", metavar="QUESTION-ID")
    answer.add_argument("text", metavar="TEXT", help='the answer; "-" reads standard input')
    answer.set_defaults(command=_answer)
    approve = commands.add_parser("approve", parents=[place], help="approve or reject the step that a run waits for")
    approve.add_argument("run", metavar="RUN")
    approve.add_argument("approval", metavar="APPROVAL-ID")
    approve.add_argument("--reject", action="store_true")
    approve.add_argument("--comment", default="", metavar="TEXT")
    approve.set_defaults(command=_approve)
    for command in (cancel, pause, resume, message, answer, approve):
        command.add_argument("--json", action="store_true", help="the run as one JSON object")


def _add_backups(commands: Commands, place: Parser) -> None:
    backup = commands.add_parser("backup", parents=[place], help="make a verified backup of a workflow's runs")
    backup.add_argument("--to", type=Path, metavar="FILE", help="download it too, to a file or into a folder")
    backup.add_argument("--list", action="store_true", help="list the backups instead")
    restore = commands.add_parser("restore", parents=[place], help="go on from a backup; the present file is set aside")
    restore.add_argument("--from", type=Path, dest="file", metavar="FILE", help="a backup that was downloaded before")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    for command in (backup, restore):
        command.add_argument("workflow", metavar="WORKFLOW")
        command.add_argument("--pod", type=_not_empty, metavar="NAME", help="the pod, where there are several")
        command.add_argument("--json", action="store_true", help="one JSON object")
    restore.add_argument("backup", nargs="?", default="", metavar="BACKUP-ID", help="default: the newest that is sound")
    backup.set_defaults(command=_backup)
    restore.set_defaults(command=_restore)


def _add_obs(commands: Commands, place: Parser) -> None:
    obs = commands.add_parser("obs", parents=[place], help="show or switch the observability mode of agents")
    obs.add_argument("mode", nargs="?", choices=("debug", "shipping"), help="switch to this; left out: show")
    obs.add_argument("--for", dest="time", metavar="TIME", help="how long debug holds, for example 10m")
    obs.add_argument("--workflow", type=_not_empty, metavar="NAME", help="only the agents of this workflow")
    obs.add_argument("--json", action="store_true", help="one JSON object")
    obs.set_defaults(command=_obs)


def _up(options: argparse.Namespace) -> int:
    from milepost_cli.processes import Folders  # noqa: PLC0415 - every command imports only what it needs
    from milepost_cli.up import UiOptions, up  # noqa: PLC0415

    folders = Folders.parse(volumes=options.volume, secrets=options.secret)
    ui = UiOptions(not options.no_ui, options.ui_port)
    return up(options.files, _state(options), port=options.port, folders=folders, ui=ui)


def _run(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    prompt = runs.read_prompt(options.text, "the prompt")
    correlation = runs.checked_uuid("--correlation-id", options.correlation_id)
    with _backend(options) as backend:
        return runs.run(
            backend,
            options.workflow,
            prompt,
            following=options.follow,
            as_json=options.json,
            correlation_id=correlation,
            is_new=options.correlation_id is None,
        )


def _watch(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    with _backend(options) as backend:
        return runs.watch(backend, options.run, as_json=options.json)


def _cancel(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    with _backend(options) as backend:
        return runs.cancel(backend, options.run, reason=options.reason, as_json=options.json)


def _pause(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    with _backend(options) as backend:
        return runs.pause(backend, options.run, reason=options.reason, as_json=options.json)


def _resume(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    with _backend(options) as backend:
        return runs.resume(backend, options.run, as_json=options.json)


def _message(options: argparse.Namespace) -> int:
    from milepost_cli import messages, runs  # noqa: PLC0415

    text = runs.read_prompt(options.text, "the message")
    message_id = runs.checked_uuid("--id", options.id)
    with _backend(options) as backend:
        return messages.send(backend, options.run, options.role, text, message_id=message_id, as_json=options.json)


def _answer(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    reply = runs.read_prompt(options.text, "the answer")
    with _backend(options) as backend:
        return runs.answer(backend, options.run, options.question, reply, as_json=options.json)


def _approve(options: argparse.Namespace) -> int:
    from milepost_cli import runs  # noqa: PLC0415

    comment = runs.checked_comment(options.comment)
    with _backend(options) as backend:
        return runs.approve(
            backend, options.run, options.approval, reject=options.reject, comment=comment, as_json=options.json
        )


def _backup(options: argparse.Namespace) -> int:
    from milepost_cli import backups  # noqa: PLC0415

    if options.list and options.to is not None:
        raise UsageError("--to: is not for --list; allowed: one of them")
    with _backend(options) as backend:
        agents = backups.chosen(backend, options.workflow, options.pod)
        if options.list:
            return backups.show(agents, as_json=options.json)
        return backups.create(agents, to=options.to, as_json=options.json)


def _restore(options: argparse.Namespace) -> int:
    from milepost_cli import restore  # noqa: PLC0415

    if options.backup and options.file is not None:
        raise UsageError("--from: is not for a BACKUP-ID; allowed: one of them")
    with _backend(options) as backend:
        return restore.restore(
            backend, options.workflow, options.pod, options.backup, options.file, sure=options.yes, as_json=options.json
        )


def _obs(options: argparse.Namespace) -> int:
    from milepost_cli import obs  # noqa: PLC0415

    seconds = obs.checked_time(options.mode, options.time)
    with _backend(options) as backend:
        if options.mode is None:
            return obs.show(backend, options.workflow, as_json=options.json)
        return obs.switch(backend, options.workflow, options.mode, seconds, as_json=options.json)


def _ui(options: argparse.Namespace) -> int:
    cluster = _cluster(options)
    if cluster:
        from milepost_cli.cluster import forward_ui  # noqa: PLC0415

        return forward_ui(*cluster, opening=not options.print_only)
    from milepost_cli.ui import ui  # noqa: PLC0415

    try:
        return ui(_state(options), opening=not options.print_only)
    except NotRunningError as error:
        raise NotRunningError(f"{error}; {FOR_A_CLUSTER}") from None


def _down(options: argparse.Namespace) -> int:
    from milepost_cli.down import down  # noqa: PLC0415

    return down(_state(options))


def _version(options: argparse.Namespace) -> int:
    sys.stdout.write(f"milepost {distribution_version('milepost')}\n")
    return 0


def _state(options: argparse.Namespace) -> StateDirectory:
    return StateDirectory(options.state or Path(os.environ.get("MILEPOST_STATE", DEFAULT_STATE)))


def _backend(options: argparse.Namespace) -> Backend:
    cluster = _cluster(options)
    if cluster:
        from milepost_cli.cluster import connect  # noqa: PLC0415 - only a cluster pays for its client

        return connect(*cluster)
    from milepost_cli.local import LocalBackend  # noqa: PLC0415

    try:
        return LocalBackend(_state(options))
    except NotRunningError as error:
        raise NotRunningError(f"{error}; {FOR_A_CLUSTER}") from None


def _cluster(options: argparse.Namespace) -> tuple[str | None, str | None, str | None] | None:
    """Namespace, context and kubeconfig when an option or a variable names a cluster, else None for local mode.

    An option counts more than a variable.
    """
    flags = (options.namespace, options.context, options.kubeconfig)
    variables = () if options.state else (os.environ.get("MILEPOST_NAMESPACE"), os.environ.get("MILEPOST_CONTEXT"))
    if options.state and any(flags):
        raise UsageError("--state: is for local mode; allowed: --state, or --namespace, --context and --kubeconfig")
    if not (any(flags) or any(variables)):
        return None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that what was opened is closed
    namespace, context = variables or (None, None)
    return options.namespace or namespace, options.context or context, options.kubeconfig


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; allowed: a name")
    return text


def _port(text: str) -> int:
    return whole_number(text, 1, 65535)
