"""Where the file of a model comes from, and what its pod needs for that: folders, volumes, a token, a way out."""

from collections.abc import Mapping
from typing import Any

from milepost_crds import AgentWorkflow, ModelService, ModelSource
from milepost_operator.manifests.pod_template import Mount
from milepost_operator.names import LABEL_DOWNLOADS, LABEL_REMOTE_MODEL, cache_claim_name
from milepost_operator.observation import Defaults, Resource
from milepost_operator.planning.workload import source_of

MODEL_DIR = "/var/lib/milepost/model"
CACHE_DIR = "/var/cache/milepost"
TOKEN_FILE = "/var/run/secrets/milepost/model-token"  # noqa: S105 -- only its path


def downloads(resource: Resource) -> bool:
    """Whether a process of the resource fetches its model."""
    return is_fetched(source_of(resource))


def is_fetched(source: ModelSource | None) -> bool:
    """Whether a source is a file of another machine."""
    return source is not None and (source.url is not None or source.hugging_face is not None)


def pod_labels(resource: Resource) -> dict[str, str]:
    """By these the chart's network policies let out those that fetch something, or call a model elsewhere."""
    if isinstance(resource, ModelService) and resource.spec.open_ai is not None:
        return {LABEL_REMOTE_MODEL: "true"}
    return {LABEL_DOWNLOADS: "true"} if downloads(resource) else {}


def file_environment(resource: Resource, defaults: Defaults) -> dict[str, str]:
    """What the process is told of its model's file."""
    source = source_of(resource)
    if source is None:
        return {}
    told = {}
    if isinstance(resource, ModelService) or is_fetched(source):
        told["MILEPOST_CACHE_DIR"] = CACHE_DIR
    if source.persistent_volume_claim is not None:
        told["MILEPOST_MODEL_VOLUME_DIR"] = MODEL_DIR
    if source.secret_ref is not None:
        told["MILEPOST_MODEL_TOKEN_FILE"] = TOKEN_FILE
    if source.hugging_face is not None and defaults.hugging_face_endpoint:
        told["HF_ENDPOINT"] = defaults.hugging_face_endpoint
    return told


def file_mounts(resource: Resource) -> list[Mount]:
    """What the process sees of it."""
    source = source_of(resource)
    if source is None:
        return []
    mounts = []
    if isinstance(resource, ModelService) or is_fetched(source):
        mounts.append(Mount("cache", CACHE_DIR, _cache(resource)))
    if (volume := source.persistent_volume_claim) is not None:
        claim = {"persistentVolumeClaim": {"claimName": volume.claim_name, "readOnly": True}}
        mounts.append(Mount("model", MODEL_DIR, claim, read_only=True))
    if (key := source.secret_ref) is not None:
        folder, _, name = TOKEN_FILE.rpartition("/")
        secret = {"secret": {"secretName": key.name, "items": [{"key": key.key, "path": name}]}}
        mounts.append(Mount("model-token", folder, secret, read_only=True))
    return mounts


def _cache(resource: Resource) -> Mapping[str, Any]:
    # An agent's volume is for its runs: a file fetched for its router lasts as long as the pod.
    if isinstance(resource, AgentWorkflow) or not downloads(resource):
        return {"emptyDir": {}}
    return {"persistentVolumeClaim": {"claimName": cache_claim_name(resource.name)}}
