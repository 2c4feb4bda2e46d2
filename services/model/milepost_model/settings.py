"""Settings of the model process."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from milepost_service.cgroup import ROOT
from milepost_service.settings import ServiceSettings


class ModelSettings(ServiceSettings):
    """Environment of `milepost-model`."""

    queue_size: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Requests that may wait besides those that are served."""
    model_volume_dir: Path | None = None
    """Where the claim of `llamaCpp.source.persistentVolumeClaim` is mounted."""
    cgroup_dir: Path = ROOT
    """Where the limits of the container are read."""
