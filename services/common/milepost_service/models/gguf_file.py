"""A first look at a GGUF file, so that a broken one is refused with one line before llama.cpp meets it."""

from __future__ import annotations

import struct
from pathlib import Path

from milepost_service.errors import ConfigurationError

_HEADER = struct.Struct("<4sIQQ")  # magic, version, number of tensors, number of metadata entries
_VERSIONS = (2, 3)


def require_gguf(path: Path, where: str) -> None:
    """Raise ConfigurationError unless `path` is readable and starts as a GGUF of a known version with tensors."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error.strerror}") from error
    if len(header) < _HEADER.size or not header.startswith(b"GGUF"):
        raise ConfigurationError(f"{where}: {path} is not a GGUF file; allowed: a model in llama.cpp's GGUF format")
    _, version, tensors, _ = _HEADER.unpack(header)
    if version not in _VERSIONS or tensors == 0:
        raise ConfigurationError(
            f"{where}: {path} is a GGUF of version {version} with {tensors} tensors; "
            f"allowed: versions {', '.join(map(str, _VERSIONS))} with at least one tensor"
        )
