"""From what a resource says of a model to a verified file that llama.cpp can open."""

from __future__ import annotations

from pathlib import Path

from milepost_crds import LlamaCpp, ModelSource
from milepost_service.errors import ConfigurationError
from milepost_service.models.cache import CachedFile, make_once
from milepost_service.models.checksum import require_sha256, sha256_of
from milepost_service.models.downloaded import Downloads
from milepost_service.models.downloads.credentials import Credentials
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.gguf_file import require_gguf
from milepost_service.models.package_files import package_file
from milepost_service.models.progress import Progress, Watch, unheard, unwatched
from milepost_service.models.quantize import requantise
from milepost_service.volumes import volume_path

RECIPE_VERSION = 1


def ensure_model(
    spec: LlamaCpp,
    cache_dir: Path,
    progress: Progress = unheard,
    *,
    watch: Watch = unwatched,
    volume_dir: Path | None = None,
    credentials: Credentials | None = None,
) -> Path:
    """Path of the GGUF that `spec` asks for, fetched and requantised into `cache_dir` where the spec says so.

    The file itself is returned when nothing has to change. `watch` is told how far a download is, `volume_dir` is where
    the claim of the source is mounted, `credentials` are those of the environment unless given. Raises
    ConfigurationError for a missing package or file, a checksum that differs, a file that is no GGUF, a path that leads
    astray, and a download that cannot be had.
    """
    path, digest = _verified(
        spec.source, "llamaCpp.source", Downloads(cache_dir, progress, watch, credentials=credentials), volume_dir
    )
    if spec.quantization is None:
        return path
    return _requantised(path, digest or sha256_of(path), spec.quantization, cache_dir, progress)


def find_model(
    source: ModelSource,
    where: str,
    *,
    cache_dir: Path,
    progress: Progress = unheard,
    watch: Watch = unwatched,
    volume_dir: Path | None = None,
    patience: Patience | None = None,
) -> Path:
    """Path of the GGUF of a source as it is; `where` is the field of the source, for messages.

    `patience` is that of a download. Raises ConfigurationError as `ensure_model` does.
    """
    return _verified(source, where, Downloads(cache_dir, progress, watch, patience or Patience()), volume_dir)[0]


def _verified(
    source: ModelSource, where: str, downloads: Downloads, volume_dir: Path | None
) -> tuple[Path, str | None]:
    """The file and, where one was asked for, its checksum."""
    if source.url is not None or source.hugging_face is not None:
        fetched, digest = downloads.ensure(source, where)
        require_gguf(fetched, where)
        return fetched, digest
    field, path = _local_file(source, where, volume_dir)
    require_gguf(path, field)
    return path, require_sha256(path, source.sha256, f"{where}.sha256") if source.sha256 else None


def _local_file(source: ModelSource, where: str, volume_dir: Path | None) -> tuple[str, Path]:
    """The field that names a file of this machine, for messages, and the file."""
    if (package := source.package) is not None:
        where = f"{where}.package"
        return f"{where}.file", package_file(package.name, package.file, where)
    claim = source.persistent_volume_claim
    assert claim is not None
    where = f"{where}.persistentVolumeClaim"
    if volume_dir is None:
        raise ConfigurationError(
            f"{where}: MILEPOST_MODEL_VOLUME_DIR is not set; allowed: the folder where claim {claim.claim_name} is"
        )
    return f"{where}.path", volume_path(volume_dir, claim.path, f"{where}.path")


def _requantised(source: Path, digest: str, quantization: str, cache_dir: Path, progress: Progress) -> Path:
    stem = source.name.removesuffix(".gguf").removesuffix(f"-{digest[:12]}")
    target = cache_dir / f"{stem}-{digest[:12]}-{quantization.lower()}.gguf"

    def make(part: Path) -> None:
        progress(f"{stem}: requantising to {quantization} (a few seconds, once)")
        requantise(source, part, quantization, "llamaCpp.quantization")

    recipe = f"requantise {RECIPE_VERSION} {quantization} {digest}"
    return make_once(CachedFile(target, recipe), make, progress)
