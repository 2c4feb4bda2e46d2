"""The one ModelService that a process serves, read from the file that its settings name."""

from pathlib import Path

from milepost_crds import ManifestError, ModelService, load_manifests
from milepost_service.errors import ConfigurationError


def load_model_service(path: Path, *, engine: str | tuple[str, ...]) -> ModelService:
    """The ModelService in `path`; ConfigurationError unless there is exactly one, with this engine or one of these."""
    try:
        resources = [manifest.resource for manifest in load_manifests([path])]
    except ManifestError as error:
        raise ConfigurationError(str(error)) from None
    if len(resources) != 1 or not isinstance(resources[0], ModelService):
        raise ConfigurationError(f"{path}: holds {len(resources)} resources; allowed: exactly one ModelService")
    found = resources[0].spec.engine_name
    engines = (engine,) if isinstance(engine, str) else engine
    if found not in engines:
        allowed = ", ".join(f"spec.{each}" for each in engines)
        raise ConfigurationError(f"{path}: spec.{found}: is not served by this process; allowed: {allowed}")
    return resources[0]
