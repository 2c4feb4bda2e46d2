"""The operator's settings: `MILEPOST_*` environment variables, checked before anything starts."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from milepost_operator.errors import ConfigurationError
from milepost_operator.observation import Defaults, Images

_PREFIX = "MILEPOST_"

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose."""
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][-\w.:/@]*$", max_length=500)]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class OperatorSettings(BaseSettings):
    """What the operator reads at its start."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    namespaces: Annotated[tuple[Namespace, ...], NoDecode, BeforeValidator(_split_commas)] = ()
    """Namespaces that are served; empty: all of the cluster."""
    image_agent: ImageName = "milepost-agent:0.1.0"
    image_model: ImageName = "milepost-model-smollm2:0.1.0"
    image_rag: ImageName = "milepost-rag:0.1.0"
    image_tools: ImageName = "milepost-tools:0.1.0"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    access_mode: Literal["ReadWriteOncePod", "ReadWriteOnce"] = "ReadWriteOncePod"
    otlp_endpoint: str | None = None
    hugging_face_endpoint: Annotated[str, StringConstraints(pattern="^https?://[!-~]+$")] | None = None
    """Where models of the source huggingFace are asked for; None: at the public hub."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Resources that are reconciled side by side."""
    health_port: Port = 8080
    metrics_port: Port = 8081
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "text"
    pod_name: str = ""
    pod_namespace: str = ""
    resync_seconds: Annotated[float, Field(ge=1, le=86_400)] = 600.0

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Reads the environment. Raises ConfigurationError, one line that names every wrong variable."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError("; ".join(_describe(item) for item in error.errors())) from None
        except SettingsError as error:
            raise ConfigurationError(str(error)) from None

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """Namespaces to list and watch; None stands for all of them."""
        return self.namespaces or (None,)

    def defaults(self) -> Defaults:
        """What planning needs to know of the installation."""
        return Defaults(
            images=Images(self.image_agent, self.image_model, self.image_rag, self.image_tools),
            image_pull_policy=self.image_pull_policy,
            access_mode=self.access_mode,
            otlp_endpoint=self.otlp_endpoint,
            hugging_face_endpoint=self.hugging_face_endpoint,
        )


def _describe(item: Any) -> str:
    name = _PREFIX + str(item["loc"][0]).upper()
    return f"{name}: {item['msg'].removeprefix('Value error, ')} (is {str(item['input'])[:80]!r})"
