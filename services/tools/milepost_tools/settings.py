"""Settings of the tool process."""

from pydantic import field_validator

from milepost_service.settings import ServiceSettings, split_address


class ToolsSettings(ServiceSettings):
    """Environment of `milepost-tools`."""

    model_target: str
    """gRPC target of the model that chooses between tools."""

    @field_validator("model_target")
    @classmethod
    def _model_target_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value
