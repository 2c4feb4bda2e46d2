"""From planned workloads to processes on this machine: programs, ports, files and environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from milepost_cli.child import ProcessSpec
from milepost_cli.errors import StartError, UsageError
from milepost_cli.ports import HOST, first_agent_port, free_port
from milepost_cli.state import StateDirectory
from milepost_crds import ModelService, VolumePath
from milepost_operator.planning import Workload, answers_http, model_claim_of, source_of

LOG_LIMIT = 10 * 1024 * 1024  # bytes; a longer log is set aside when `milepost up` starts


@dataclass(frozen=True)
class Folders:
    """What stands on this machine for objects of a cluster, by their names.

    `secrets` are folders with a file for each key, as a pod sees a Secret that is mounted.
    """

    volumes: Mapping[str, Path] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def parse(cls, *, volumes: Sequence[str], secrets: Sequence[str]) -> Folders:
        """From `NAME=DIR`. Raises UsageError when the form is wrong or the folder is not there."""
        return cls(
            _folders("--volume", "CLAIM=DIR, for example handbook=./documents", volumes),
            _folders("--secret", "NAME=DIR, for example llm=./keys", secrets),
        )


def _folders(option: str, form: str, values: Sequence[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"{option} {value}: must be {form}")
        if not Path(folder).is_dir():
            raise UsageError(f"{option} {value}: {folder} is no directory")
        folders[name] = Path(folder).resolve()
    return folders


@dataclass(frozen=True)
class Placement:
    """What one `milepost up` gives its processes beside their own configuration."""

    state: StateDirectory
    cache: Path
    router_model: Path
    folders: Folders
    targets: Mapping[str, str]  # process name -> host:port
    http: Mapping[str, str] = field(default_factory=dict)  # the same of OpenAI's API, of those that answer it

    def registries(self, workloads: Iterable[Workload]) -> str:
        return ",".join(self.targets[workload.name] for workload in workloads if workload.role == "agent")


def find_programs(workloads: Iterable[Workload]) -> dict[str, str]:
    """Absolute path of every entry point, looked up beside this Python, then on PATH. Raises StartError."""
    beside = str(Path(sys.executable).parent)
    programs: dict[str, str] = {}
    for workload in workloads:
        name = workload.command[0]
        found = shutil.which(name, path=beside) or shutil.which(name)
        if found is None:
            raise StartError(
                f"{workload.name}: the program {name} is not installed in {beside} or on PATH; "
                f"install Milepost with its part for it: milepost[{workload.role}]"
            )
        programs[name] = str(Path(found).absolute())
    return programs


def assign_targets(workloads: Sequence[Workload], port: int | None) -> dict[str, str]:
    """A loopback target for each workload, held for as long as this `milepost up` lives. Raises StartError."""
    agents = [workload.name for workload in workloads if workload.role == "agent"]
    others = [workload.name for workload in workloads if workload.role != "agent"]
    taken: dict[str, int] = {}
    for name in agents[:1]:
        taken[name] = first_agent_port(port)
    for name in (*agents[1:], *others):
        taken[name] = free_port(frozenset(taken.values()))
    return {name: f"{HOST}:{number}" for name, number in taken.items()}


def assign_http(workloads: Sequence[Workload], targets: Collection[str]) -> dict[str, str]:
    """A loopback address of OpenAI's API for each workload that answers it, beside the targets. Raises StartError."""
    taken = {int(target.rpartition(":")[2]) for target in targets}
    addresses: dict[str, str] = {}
    for workload in workloads:
        if answers_http(workload.resource):
            port = free_port(taken)
            taken.add(port)
            addresses[workload.name] = f"{HOST}:{port}"
    return addresses


def process_spec(workload: Workload, programs: Mapping[str, str], placement: Placement, registries: str) -> ProcessSpec:
    """Write the files of `workload` under the state directory and say how to run it. Raises StateError, StartError."""
    home = placement.state.home(workload.role, workload.name).resolve()
    with placement.state.writing():
        home.mkdir(parents=True, exist_ok=True)
        _write_files(home, workload)
        log = _fresh_log(placement.state.logs.resolve() / f"{workload.name}.log")
    program, *arguments = workload.command
    return ProcessSpec(
        name=workload.name,
        role=workload.role,
        argv=(programs[program], *arguments),
        env=_environment(workload, home, placement, registries),
        target=placement.targets[workload.name],
        log=log,
        http=placement.http.get(workload.name, ""),
    )


def _environment(workload: Workload, home: Path, placement: Placement, registries: str) -> dict[str, str]:
    env = {
        **workload.env,
        "MILEPOST_LOG_FORMAT": os.environ.get("MILEPOST_LOG_FORMAT", "text"),
        "MILEPOST_LOG_LEVEL": os.environ.get("MILEPOST_LOG_LEVEL", workload.env.get("MILEPOST_LOG_LEVEL", "INFO")),
        "MILEPOST_LISTEN": placement.targets[workload.name],
        "MILEPOST_CACHE_DIR": str(placement.cache),
    }
    if (secret := secret_of(workload)) is not None:
        env[secret.variable] = str(placement.folders.secrets[secret.name] / secret.key)
    if workload.role == "agent":
        env["MILEPOST_WORKFLOW_FILE"] = str(home / "workflow.yaml")
        env["MILEPOST_DATA_DIR"] = str(home)
        env["MILEPOST_ROUTER_MODEL"] = str(placement.router_model)
        return env | _model_volume(workload, placement)
    env["MILEPOST_SERVICE_FILE"] = str(home / "service.yaml")
    env["MILEPOST_REGISTRIES"] = registries
    if workload.model_ref is not None:
        env["MILEPOST_MODEL_TARGET"] = placement.targets[workload.model_ref]
    if workload.name in placement.http:
        env["MILEPOST_HTTP_LISTEN"] = placement.http[workload.name]
    env |= _model_volume(workload, placement)
    if workload.role == "rag":
        env["MILEPOST_EMBEDDING_MODEL"] = str(placement.router_model)
        env["MILEPOST_DATA_DIR"] = str(home / "data")
        env["MILEPOST_DOCUMENTS_DIR"] = str(_documents(workload, home, placement.folders.volumes))
    return env


def _model_volume(workload: Workload, placement: Placement) -> dict[str, str]:
    claim = model_claim_of(workload.resource)
    return {} if claim is None else {"MILEPOST_MODEL_VOLUME_DIR": str(placement.folders.volumes[claim.claim_name])}


def volume_of(workload: Workload) -> VolumePath | None:
    """Where on a PersistentVolumeClaim the documents or the model of a workload lie, if they do."""
    resource = workload.resource
    if isinstance(resource, ModelService) and resource.spec.rag is not None:
        return resource.spec.rag.documents.persistent_volume_claim
    return model_claim_of(resource)


@dataclass(frozen=True)
class NeededSecret:
    """A key of a Secret that `field` of a resource names, and the variable that says where its file is."""

    field: str
    name: str
    key: str
    variable: str


def secret_of(workload: Workload) -> NeededSecret | None:
    """What the workload sends to a server to be let in, if it does."""
    resource = workload.resource
    source = source_of(resource)
    if source is not None and source.secret_ref is not None:
        block = "llamaCpp" if isinstance(resource, ModelService) else "router.model"
        ref, field, variable = source.secret_ref, f"{block}.source", "MILEPOST_MODEL_TOKEN_FILE"
    elif isinstance(resource, ModelService) and resource.spec.open_ai and resource.spec.open_ai.secret_ref:
        ref, field, variable = resource.spec.open_ai.secret_ref, "openAI", "MILEPOST_API_KEY_FILE"
    else:
        return None
    return NeededSecret(f"spec.{field}.secretRef", ref.name, ref.key, variable)


def _documents(workload: Workload, home: Path, volumes: Mapping[str, Path]) -> Path:
    volume = volume_of(workload)
    return home / "documents" if volume is None else volumes[volume.claim_name] / volume.path


def _write_files(home: Path, workload: Workload) -> None:
    for name, content in workload.files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise StartError(f"{workload.name}: {name} is no file name; allowed: letters, digits, '-', '_' and '.'")
        target = home / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != content:
            target.write_text(content, encoding="utf-8")
    documents = home / "documents"
    if documents.is_dir():
        for stale in documents.iterdir():
            if f"documents/{stale.name}" not in workload.files:
                stale.unlink()


def _fresh_log(log: Path) -> Path:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))
    return log
