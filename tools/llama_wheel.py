"""The llama-cpp-python wheel, compiled once per machine into a cache outside of the clone.

The package index has only its source. The wheel is kept under a key of everything that shapes it, so
that a wheel of another version, platform or set of flags is never taken.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console import LiveLine, ToolError
from pip_runner import Pip

CORE_MINUTES = 12
X86_FLAGS = "-DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
NEEDED_MB = 1500
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\]")
COMPILER_ADVICE = "Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install"


def cmake_flags() -> str:
    """`CMAKE_ARGS` when the user set it; else portable flags: AVX2 where this processor has it, no vision library."""
    own = os.environ.get("CMAKE_ARGS")
    if own:
        return own
    return " ".join(filter(None, ["-DGGML_NATIVE=OFF", X86_FLAGS if _has_avx2() else "", "-DLLAVA_BUILD=OFF"]))


def wheel_folder(cache: Path, lock: Path) -> Path:
    """Where the wheel for this lock file, machine type, C library and set of flags lies or will lie."""
    shape = [lock.read_text(), sys.platform, platform.machine(), *platform.libc_ver(), cmake_flags()]
    key = hashlib.sha256("\n".join(shape).encode()).hexdigest()[:12]
    return cache / "wheels" / f"llama-{sys.platform}-{platform.machine()}-{key}"


def ensure_wheel(cache: Path, lock: Path, build_lock: Path, log: Path) -> Path:
    """Path of the wheel; compiled first when it is not cached. Of several set-ups one compiles, the others wait."""
    folder = wheel_folder(cache, lock)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            return _cached(folder) or _compile(folder, lock, build_lock, log)
    except OSError as error:
        raise ToolError(f"MILEPOST_CACHE_DIR: {error.filename or folder}: {error.strerror or error}") from error


def _compile(folder: Path, lock: Path, build_lock: Path, log: Path) -> Path:
    if not any(map(shutil.which, filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++"]))):
        raise ToolError(f"llama-cpp-python: no C++ compiler on the PATH. {COMPILER_ADVICE}")
    free = shutil.disk_usage(folder).free // 2**20
    if free < NEEDED_MB:
        raise ToolError(f"llama-cpp-python: {free} MB free at {folder}, {NEEDED_MB} MB needed to compile")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    minutes = max(1, round(CORE_MINUTES / cores))
    print(f"llama-cpp-python: compiling, about {minutes} minutes on {cores} cores, once (kept in {folder})", flush=True)
    with tempfile.TemporaryDirectory(prefix=".compiling-", dir=folder) as scratch:
        return _build(folder, Path(scratch), lock, build_lock, log)


def _build(folder: Path, scratch: Path, lock: Path, build_lock: Path, log: Path) -> Path:
    line = LiveLine("llama-cpp-python")
    tools = scratch / "tools"
    pip = Pip.in_new_environment(tools, log)
    pip.install_locked(build_lock, lambda text: line.update(f"build tools: {text}"))
    line.update("source: fetching 77 MB")
    environment = {
        "CMAKE_ARGS": cmake_flags(),
        "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(scratch),
    }

    def on_line(text: str) -> None:
        step = NINJA_STEP.search(text)
        if step:
            line.update(f"compiled {step[1]} of {step[2]}{_remaining(line.seconds, int(step[1]), int(step[2]))}")

    arguments = ["wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--require-hashes"]
    try:
        pip(*arguments, "-w", str(scratch / "wheel"), "-r", str(lock), on_line=on_line, environment=environment)
    finally:
        line.close()
    made = next((scratch / "wheel").glob("*.whl"))
    target = folder / made.name
    made.replace(target)
    line.done("compiled")
    return target


def _remaining(seconds: float, done: int, total: int) -> str:
    if done < 10:
        return ""
    return f", about {max(1, round(seconds / done * (total - done) / 60))} min left"


def _cached(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def _has_avx2() -> bool:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "avx2" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("llama-cpp-python: waiting for another set-up that compiles it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
