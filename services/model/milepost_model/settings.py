"""Settings of the model process."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from milepost_service.cgroup import ROOT
from milepost_service.settings import ServiceSettings, check_address


class ModelSettings(ServiceSettings):
    """Environment of `milepost-model`."""

    http_listen: str = ""
    """Address of the HTTP endpoints; empty: none."""
    queue_size: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Requests that may wait besides those that are served."""
    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long a server behind `openAI.baseURL` may be silent."""
    api_key_file: Path | None = None
    """Where the key of `openAI.secretRef` is mounted."""
    model_volume_dir: Path | None = None
    """Where the claim of `llamaCpp.source.persistentVolumeClaim` is mounted."""
    cgroup_dir: Path = ROOT
    """Where the limits of the container are read."""

    @field_validator("http_listen")
    @classmethod
    def _http_listen_is_an_address(cls, value: str) -> str:
        return check_address(value) if value else value
