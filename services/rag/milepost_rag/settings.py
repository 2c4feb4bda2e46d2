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
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    """Time between two looks at whether documents have changed."""

    @field_validator("model_target")
    @classmethod
    def _model_target_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value
