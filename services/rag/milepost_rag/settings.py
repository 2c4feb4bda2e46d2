"""Settings of the document process."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from milepost_service.settings import ServiceSettings, split_address


class RagSettings(ServiceSettings):
    """Environment of `milepost-rag`."""

    model_target: str
    """gRPC target of the model that writes the answers."""
    embedding_model: Path
    documents_dir: Path
    data_dir: Path
    """The index lies here."""
    look_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """The kernel tells of changes; where it does not, as on a network volume, they are found by a look this often."""

    @field_validator("model_target")
    @classmethod
    def _model_target_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value
