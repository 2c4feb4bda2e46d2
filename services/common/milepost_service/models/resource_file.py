"""The `llamaCpp` blocks of ModelServices in a YAML file, read leniently: full validation is `milepost_crds`' part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from milepost_service.errors import ConfigurationError


@dataclass(frozen=True)
class WrittenPackage:
    name: str
    file: str


@dataclass(frozen=True)
class WrittenSource:
    package: WrittenPackage | None
    sha256: str | None


@dataclass(frozen=True)
class WrittenLlamaCpp:
    """A block as somebody wrote it; has the shape that `ensure_model` reads."""

    source: WrittenSource
    quantization: str | None


def llama_cpp_blocks(path: Path) -> list[WrittenLlamaCpp]:
    """Blocks in order; resources of other kinds are passed over. Raises ConfigurationError for an unreadable file."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}; allowed: minilm, or a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    specs = [document.get("spec") for document in documents if isinstance(document, dict)]
    return [_block(path, spec["llamaCpp"]) for spec in specs if isinstance(spec, dict) and "llamaCpp" in spec]


def _block(path: Path, written: Any) -> WrittenLlamaCpp:
    try:
        source = written["source"]
        package = source.get("package")
        return WrittenLlamaCpp(
            WrittenSource(
                WrittenPackage(str(package["name"]), str(package["file"])) if package else None, source.get("sha256")
            ),
            written.get("quantization"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path}: spec.llamaCpp.source is incomplete ({error}); allowed: package with name and file"
        ) from error
