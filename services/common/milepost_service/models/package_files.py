"""Files carried by installed Python packages, found without importing the packages.

A model package may import things that are not installed (torch, for one); only its files are wanted.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path, PurePosixPath

from milepost_service.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def package_file(package: str, file: str, where: str) -> Path:
    """Path of `file` (relative, `/`-separated) inside the installed `package` (import or distribution name).

    Raises ConfigurationError when the package is not installed or does not carry the file, or when the
    path leads outside the package.
    """
    root = _package_root(package, where)
    relative = PurePosixPath(file)
    path = (root / relative).resolve()
    if relative.is_absolute() or not path.is_relative_to(root.resolve()):
        raise ConfigurationError(f"{where}.file: {file!r} leads outside package {package}; allowed: a path inside it")
    if not path.is_file():
        found = sorted(item.relative_to(root).as_posix() for item in root.rglob("*.gguf"))
        allowed = ", ".join(found) or "none: the package carries no .gguf file"
        raise ConfigurationError(f"{where}.file: package {package} has no file {file!r}; allowed: {allowed}")
    return path


def _package_root(package: str, where: str) -> Path:
    module = package.replace("-", "_").replace(".", "_")
    spec = importlib.util.find_spec(module) if _NAME.fullmatch(package) else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"{where}.name: package {package!r} is not installed; allowed: an installed Python package"
        )
    return Path(next(iter(spec.submodule_search_locations)))
