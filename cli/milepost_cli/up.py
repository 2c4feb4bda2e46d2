"""`milepost up`: manifests in, running processes out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost_cli.announcer import Announcer
from milepost_cli.child import ProcessSpec
from milepost_cli.errors import StartError, UsageError
from milepost_cli.gateway import gateway_port, gateway_spec, hindrance
from milepost_cli.processes import (
    Folders,
    Placement,
    assign_http,
    assign_targets,
    find_programs,
    process_spec,
    secret_of,
    volume_of,
)
from milepost_cli.state import StateDirectory, UpRecord
from milepost_cli.supervisor import Supervisor
from milepost_crds import ManifestError, ModelService, load_manifests
from milepost_operator.errors import PlanError
from milepost_operator.planning import Workload, plan_workloads, unsupported_locally
from milepost_service.models import MINILM_FILE_NAME, default_cache_dir

NO_FOLDERS = Folders()
READY = "ready: "  # how the preparing process marks a file that is whole
UNDER_WAY = "under way: "  # and how far a download is, which is soon old


@dataclass(frozen=True)
class UiOptions:
    """Whether there is a web UI, and the port that was asked for."""

    wanted: bool = True
    port: int | None = None


def up(files: Sequence[Path], state: StateDirectory, *, port: int | None, folders: Folders, ui: UiOptions) -> int:
    """Run the manifests until told to stop; returns the exit code. Raises CliError."""
    announcer = Announcer()
    workloads = read_workloads(files, folders)
    programs = find_programs(workloads)
    with state.owned(), _terminating_as_interrupt():
        targets = assign_targets(workloads, port)
        http = assign_http(workloads, targets.values())
        ui_port = gateway_port(ui.port, _ports([*targets.values(), *http.values()])) if ui.wanted else 0
        state.write(UpRecord(os.getpid(), time.time(), "preparing"))
        try:
            cache = default_cache_dir().absolute()
            placement = Placement(state, cache, cache / MINILM_FILE_NAME, folders, targets, http)
            registries = placement.registries(workloads)
            specs = [process_spec(workload, programs, placement, registries) for workload in workloads]
            if ui.wanted:
                specs += _gateway(specs, state, ui_port, announcer)
            prepare_models(workloads, placement, announcer)
            asyncio.run(Supervisor(specs, state, announcer).run())
        except KeyboardInterrupt:
            announcer.line("stopped before it was up")
        finally:
            state.clear()
    return 0


def _ports(addresses: Iterable[str]) -> list[int]:
    return [int(address.rpartition(":")[2]) for address in addresses]


def _gateway(specs: Sequence[ProcessSpec], state: StateDirectory, port: int, announcer: Announcer) -> list[ProcessSpec]:
    """The gateway of these processes, where it is installed."""
    if reason := hindrance():
        announcer.warn(reason)
        return []
    agents = {spec.name: spec.target for spec in specs if spec.role == "agent"}
    return [gateway_spec(state, agents, [spec.name for spec in specs], port)]


def read_workloads(files: Sequence[Path], folders: Folders = NO_FOLDERS) -> list[Workload]:
    """Plan what the manifests ask for; `folders` stand for what only a cluster has.

    Raises UsageError with one line for each thing that is wrong.
    """
    try:
        workloads = plan_workloads(load_manifests(files), cpu_count=os.cpu_count() or 1)
    except (ManifestError, PlanError) as error:
        raise UsageError("\n".join(str(one) for one in getattr(error, "errors", ())) or str(error)) from error
    if not any(workload.role == "agent" for workload in workloads):
        raise UsageError(f"{', '.join(map(str, files))}: holds no AgentWorkflow; nothing could be run")
    reasons = [reason for workload in workloads if (reason := _hindrance(workload, folders)) is not None]
    names = Counter(workload.name for workload in workloads)
    reasons += [f"{name}: is the name of two resources; allowed: a name for each" for name in names if names[name] > 1]
    if reasons:
        raise UsageError("\n".join(reasons))
    return workloads


def _hindrance(workload: Workload, folders: Folders) -> str | None:
    secret = secret_of(workload)
    if secret is not None and not (folders.secrets.get(secret.name, Path()) / secret.key).is_file():
        return (
            f"{workload.resource.kind} {workload.name}: {secret.field}: {secret.name} is no folder here that has the "
            f"file {secret.key}; allowed: a folder that is named with --secret {secret.name}=DIR"
        )
    volume = volume_of(workload)
    if volume is None or volume.claim_name in folders.volumes:
        return unsupported_locally(workload.resource)
    fields = {"agent": "spec.router.model.source", "model": "spec.llamaCpp.source", "rag": "spec.rag.documents"}
    return (
        f"{workload.resource.kind} {workload.name}: {fields[workload.role]}.persistentVolumeClaim: "
        f"{volume.claim_name} is no folder here; "
        f"allowed: a folder that is named with --volume {volume.claim_name}=DIR"
    )


def prepare_models(workloads: Sequence[Workload], placement: Placement, announcer: Announcer) -> None:
    """Make the model files ready in a process of its own, showing its progress. Raises StartError."""
    models = [workload for workload in workloads if _is_prepared(workload)]
    files = [str(placement.state.home("model", model.name).resolve() / "service.yaml") for model in models]
    command = [sys.executable, "-m", "milepost_service.models", "prepare", "--cache", str(placement.cache)]
    command += [f"--secret={name}={folder}" for name, folder in placement.folders.secrets.items()]
    with announcer.busy("preparing models"):
        process = subprocess.Popen(
            [*command, "minilm", *files],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            done, last = _relay(process, announcer)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        subject = ["router", *(model.name for model in models), "models"][min(done, len(models) + 1)]
        reason = last.removeprefix("prepare: ") or f"exit code {process.returncode}"
        raise StartError(f"{subject}: {reason}")


def _is_prepared(workload: Workload) -> bool:
    is_remote = isinstance(workload.resource, ModelService) and workload.resource.spec.open_ai is not None
    return workload.role == "model" and not is_remote and volume_of(workload) is None


def _relay(process: subprocess.Popen[str], announcer: Announcer) -> tuple[int, str]:
    """Show progress until the process ends; returns how many files were made ready, and the last line."""
    assert process.stdout is not None
    done, last = 0, ""
    for line in process.stdout:
        if line.startswith(UNDER_WAY):
            announcer.under_way(line.removeprefix(UNDER_WAY).strip())
            continue
        if last and not last.startswith(READY):
            announcer.line(last)
        last = line.strip() or last
        done += line.startswith(READY)
        announcer.now(last)
    process.wait()
    return done, last


@contextlib.contextmanager
def _terminating_as_interrupt() -> Iterator[None]:
    """Until the supervisor takes the signals over, SIGTERM and SIGHUP mean what Ctrl-C means."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
