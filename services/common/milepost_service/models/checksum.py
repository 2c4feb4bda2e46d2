"""Checksums of model files: what was verified is what is used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from milepost_service.errors import ConfigurationError


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, expected: str, where: str) -> str:
    """Return the checksum of `path`; raise ConfigurationError when it is not `expected` (hexadecimal, any case)."""
    actual = sha256_of(path)
    if actual != expected.lower():
        raise ConfigurationError(f"{where}: {path} has sha256 {actual}; allowed: {expected.lower()}")
    return actual
