"""From `spec.router.model` to a file that is whole, is the one that was asked for, and fits into memory."""

import sys
from collections.abc import Callable
from pathlib import Path

from milepost_agent.router import LanguageModelSettings
from milepost_agent.router.errors import ModelUnusableError
from milepost_crds import AGENT_BYTES, ROUTER_CONTEXT_TOKENS, MemoryEstimate, RouterModel, parse_duration
from milepost_service.cgroup import memory_limit
from milepost_service.errors import ConfigurationError

WHERE = "spec.router.model.source"
_MI = 1024**2


def language_model(
    spec: RouterModel | None, *, cache_dir: Path, volume_dir: Path | None, cgroup_dir: Path, kept_in: Path
) -> LanguageModelSettings | None:
    """What the router is told of its larger model; None without one. Nothing is looked for yet.

    `cache_dir` is where a file that is fetched is kept, `volume_dir` where the claim of the source is mounted,
    `cgroup_dir` where the limits of the container are read, `kept_in` the folder for what is fitted to the model.
    """
    if spec is None:
        return None
    return LanguageModelSettings(
        find=_finder(spec, cache_dir, volume_dir, cgroup_dir),
        deadline_seconds=parse_duration(spec.deadline),
        threads=spec.threads,
        context_tokens=ROUTER_CONTEXT_TOKENS,
        kept_in=kept_in,
    )


def _finder(spec: RouterModel, cache_dir: Path, volume_dir: Path | None, cgroup_dir: Path) -> Callable[[], Path]:
    def find() -> Path:
        # Not every agent has a model.
        from milepost_service.download_status import DownloadStatus  # noqa: PLC0415
        from milepost_service.models import find_model, read_header  # noqa: PLC0415
        from milepost_service.models.downloads.patience import Patience  # noqa: PLC0415

        status = DownloadStatus()
        try:
            path = find_model(
                spec.source,
                WHERE,
                cache_dir=cache_dir,
                progress=status.say,
                watch=status.watch,
                volume_dir=volume_dir,
                patience=Patience(attempts=sys.maxsize),
            )
            header = read_header(path, WHERE)
        except ConfigurationError as error:
            raise ModelUnusableError(str(error)) from error
        estimate = MemoryEstimate(header.file_bytes, header.kv_bytes(ROUTER_CONTEXT_TOKENS, 1), AGENT_BYTES)
        _require_memory(path, estimate, memory_limit(cgroup_dir))
        return path

    return find


def _require_memory(path: Path, estimate: MemoryEstimate, limit: int | None) -> None:
    if limit is not None and estimate.total > limit:
        raise ModelUnusableError(
            f"spec.resources.limits.memory: {limit // _MI}Mi is too little for {path.name} "
            f"({estimate.weights // _MI}Mi of weights, {estimate.kv_cache // _MI}Mi of KV cache, "
            f"{estimate.runtime // _MI}Mi besides); allowed: {estimate.smallest_limit()} or more"
        )
