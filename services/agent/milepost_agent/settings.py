"""What the agent reads at its start: settings of the environment, and its workflow."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from milepost_agent.backups import Schedule
from milepost_agent.observability import Configured
from milepost_agent.observability_rules import ModeRecord
from milepost_agent.store import BackupFolder, RetentionPolicy
from milepost_crds import AgentWorkflow, ManifestError, Retention, load_manifests
from milepost_crds.units import parse_duration
from milepost_service.cgroup import ROOT
from milepost_service.errors import ConfigurationError
from milepost_service.kubernetes.access import SERVICE_ACCOUNT, ApiAccess
from milepost_service.settings import MeasuredSettings

CLUSTER_LOCK_WAIT_SECONDS = 120.0
"""A pod that was deleted by force lives on for as long as its grace period while its successor starts."""


class AgentSettings(MeasuredSettings):
    """What the agent reads beside what every process reads."""

    listen: str = "127.0.0.1:50051"
    workflow_file: Path
    data_dir: Path
    router_model: Path | None = None
    """The embedding model."""
    cache_dir: Path = Field(default_factory=lambda: Path.home() / ".cache" / "milepost")
    """Where a router model that is fetched is kept."""
    model_volume_dir: Path | None = None
    """Where the claim of `spec.router.model.source.persistentVolumeClaim` is mounted."""
    cgroup_dir: Path = ROOT
    """Where the limits of the container are read."""
    drain_seconds: float = 5.0
    """How long current steps may go on after SIGTERM before they are stopped and left to the next start."""
    failpoints: str = ""
    observability_file: Path | None = None
    """Holds the observability mode in one word, and may change at any time; unset: `observability` in `data_dir`."""
    crash_debug_seconds: Annotated[float, Field(ge=0, le=3600)] = 300.0
    """How long a crash turns debug on; see `milepost_agent.observability_rules`."""
    backup_dir: Path | None = None
    """Where backups lie, in a folder of this agent's own; unset: `backups` beside the file of the runs."""
    pod_name: str = ""
    """The pod, where several serve one workflow."""
    registry: Literal["grpc", "kubernetes"] = "grpc"
    """Where services come from besides those that register themselves: the labelled Services of a namespace."""
    namespace: Annotated[str, StringConstraints(pattern="^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")] = ""
    kubernetes_url: str = ""
    """Empty: the API server that every pod is told of."""
    kubernetes_token_file: Path = SERVICE_ACCOUNT / "token"
    kubernetes_ca_file: Path = SERVICE_ACCOUNT / "ca.crt"

    lock_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    """How long another process may keep the file of the runs; unset: 120 s in a cluster, else not at all."""

    @property
    def longest_lock_wait(self) -> float:
        if self.lock_wait_seconds is not None:
            return self.lock_wait_seconds
        return CLUSTER_LOCK_WAIT_SECONDS if self.registry == "kubernetes" else 0.0

    @model_validator(mode="after")
    def _namespace_is_known(self) -> Self:
        if self.registry == "kubernetes" and not self.namespace:
            raise ConfigurationError("MILEPOST_NAMESPACE: is not set; needed with MILEPOST_REGISTRY=kubernetes")
        return self

    @property
    def waits_for_disk(self) -> bool:
        """Whether a start waits for a disk that takes nothing; on one machine its user is told instead."""
        return self.registry == "kubernetes"

    def backup_folder(self, workflow: AgentWorkflow) -> BackupFolder:
        """The backups of this agent alone."""
        if self.backup_dir is None:
            return BackupFolder(self.data_dir / "backups")
        return BackupFolder(self.backup_dir / (self.pod_name or workflow.metadata.name))

    def configured_mode(self, workflow: AgentWorkflow) -> Configured:
        """What the observability mode is when nobody sets it."""
        return Configured(
            ModeRecord(workflow.spec.observability.mode, None, "spec.observability.mode"),
            self.observability_file or self.data_dir / "observability",
            ModeRecord(self.obs_mode, None, "OBS_MODE") if self.obs_mode is not None else None,
        )

    def cluster(self) -> ApiAccess | None:
        """How the Kubernetes API is reached; None when it is not to be asked."""
        if self.registry == "grpc":
            return None
        if not self.kubernetes_url:
            return ApiAccess.in_cluster(self.namespace, "MILEPOST_REGISTRY: kubernetes", "grpc")
        return ApiAccess(self.kubernetes_url, self.namespace, self.kubernetes_token_file, self.kubernetes_ca_file)


def load_workflow(path: Path) -> AgentWorkflow:
    """The one AgentWorkflow of a file.

    Raises:
        ConfigurationError: the file is missing, broken, or holds something else.
    """
    try:
        workflows = [each.resource for each in load_manifests([path]) if isinstance(each.resource, AgentWorkflow)]
    except ManifestError as error:
        raise ConfigurationError(str(error)) from None
    if len(workflows) != 1:
        raise ConfigurationError(f"{path}: holds {len(workflows)} AgentWorkflows; allowed: exactly 1")
    return workflows[0]


def schedule_of(workflow: AgentWorkflow) -> Schedule | None:
    """What the workflow says of backups; None when it asks for none by itself."""
    backup = workflow.spec.checkpoint.backup
    return None if backup is None else Schedule(parse_duration(backup.interval), backup.keep)


def retention_policy(retention: Retention) -> RetentionPolicy:
    """What the workflow says of runs that ended, in the store's terms."""
    return RetentionPolicy(retention.ended_runs, parse_duration(retention.max_age))
