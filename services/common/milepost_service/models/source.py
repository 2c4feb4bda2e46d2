"""From the `llamaCpp` block of a ModelService to a verified file that llama.cpp can open."""

from __future__ import annotations

from pathlib import Path

from milepost_crds import LlamaCpp
from milepost_service.errors import ConfigurationError
from milepost_service.models.cache import CachedFile, make_once
from milepost_service.models.checksum import require_sha256, sha256_of
from milepost_service.models.gguf_file import require_gguf
from milepost_service.models.package_files import package_file
from milepost_service.models.progress import Progress, unheard
from milepost_service.models.quantize import requantise

RECIPE_VERSION = 1


def ensure_model(spec: LlamaCpp, cache_dir: Path, progress: Progress = unheard) -> Path:
    """Path of the GGUF that `spec` asks for, requantised into `cache_dir` when the spec says so.

    The packaged file itself is returned when nothing has to change. Raises ConfigurationError for a
    missing package or file, a checksum that differs, a file that is no GGUF, and sources that are not
    carried by a package.
    """
    if spec.source.package is None:
        raise ConfigurationError(
            "llamaCpp.source: only `package` can be prepared here; not supported yet: other sources"
        )
    where = "llamaCpp.source.package"
    path = package_file(spec.source.package.name, spec.source.package.file, where)
    require_gguf(path, f"{where}.file")
    expected = spec.source.sha256
    digest = require_sha256(path, expected, "llamaCpp.source.sha256") if expected else None
    if spec.quantization is None:
        return path
    return _requantised(path, digest or sha256_of(path), spec.quantization, cache_dir, progress)


def _requantised(source: Path, digest: str, quantization: str, cache_dir: Path, progress: Progress) -> Path:
    stem = source.name.removesuffix(".gguf")
    target = cache_dir / f"{stem}-{digest[:12]}-{quantization.lower()}.gguf"

    def make(part: Path) -> None:
        progress(f"{stem}: requantising to {quantization} (a few seconds, once)")
        requantise(source, part, quantization, "llamaCpp.quantization")

    recipe = f"requantise {RECIPE_VERSION} {quantization} {digest}"
    return make_once(CachedFile(target, recipe), make, progress)
