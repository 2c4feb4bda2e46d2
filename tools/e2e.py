"""`make e2e`: the stories on a real cluster. Makes a kind cluster, builds and loads the images, and deletes both again.

What needs no image runs first, side by side, while the images are built; then the stories, one after the other.

MILEPOST_E2E_NODE_IMAGE   node image of that cluster, where kind's own default cannot be had
MILEPOST_E2E_CLUSTER      `current`: the cluster that KUBECONFIG names, instead of a new one
MILEPOST_E2E_LOAD         the command that brings images to that cluster; it is called with their names
MILEPOST_E2E_TAG          images of this tag are in the cluster already: build and load nothing
MILEPOST_E2E_KEEP         1: leave cluster, images and everything in them
Arguments go to pytest: paths, `-k kill`, `-m "not slow"`.
"""

from __future__ import annotations

import json
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from console import ToolError
from image_layers import ROLES

ROOT = Path(__file__).resolve().parent.parent
KIND_CONFIG = ROOT / "kind-config.yaml"
ARTIFACTS = ROOT / "artifacts" / "e2e"
CREATE_SECONDS = 120
STOP_SECONDS = 180.0
KEPT_BYTES = 64 * 1024
PASSED, FAILED, NOTHING = 0, 1, 5  # pytest's exit codes: all passed, some failed, none was selected
OLDER = "-older"
WITHOUT_WEIGHTS = "milepost-model"  # no story has a model to bring on a volume


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the top of this file."""

    current: str | None
    load: Sequence[str]
    node_image: str | None
    tag: str | None
    keep: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ToolError for what is not allowed or not enough."""
        wanted = environment.get("MILEPOST_E2E_CLUSTER", "kind")
        if wanted not in ("kind", "current"):
            raise ToolError(f"MILEPOST_E2E_CLUSTER: is {wanted!r}; allowed: kind, current")
        load = shlex.split(environment.get("MILEPOST_E2E_LOAD", ""))
        tag = environment.get("MILEPOST_E2E_TAG") or None
        current = None
        if wanted == "current":
            current = environment.get("KUBECONFIG")
            if not current or not Path(current).is_file():
                raise ToolError(f"KUBECONFIG: is {current!r}; with MILEPOST_E2E_CLUSTER=current it names a file")
            if not load and not tag:
                raise ToolError("MILEPOST_E2E_LOAD: is not set; allowed: a command that takes names of images")
        elif tag:
            raise ToolError("MILEPOST_E2E_TAG: needs MILEPOST_E2E_CLUSTER=current, because a new cluster has no images")
        node_image = environment.get("MILEPOST_E2E_NODE_IMAGE") or None
        return cls(current, load, node_image, tag, bool(environment.get("MILEPOST_E2E_KEEP")))


def require(*programs: str) -> None:
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise ToolError(
            f"not on the PATH: {', '.join(missing)}; the stories need helm, and kind with Docker or a cluster"
        )


@contextmanager
def given_cluster(settings: Settings) -> Iterator[tuple[Path, Sequence[str]]]:
    """Kubeconfig of the cluster that is there and the command that loads images into it."""
    assert settings.current
    yield Path(settings.current), settings.load


@contextmanager
def kind_cluster(settings: Settings) -> Iterator[tuple[Path, Sequence[str]]]:
    """Kubeconfig of a new kind cluster and the command that loads images into it. Raises ToolError."""
    require("kind", "docker")
    name = f"milepost-e2e-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    kubeconfig = folder / "kubeconfig"
    named = ["--name", name]
    create = ["kind", "create", "cluster", *named, "--kubeconfig", str(kubeconfig), "--config", str(KIND_CONFIG)]
    create += ["--wait", f"{CREATE_SECONDS}s", *(["--image", settings.node_image] if settings.node_image else [])]
    try:
        if subprocess.run(create).returncode != 0:
            raise ToolError("kind create cluster failed; MILEPOST_E2E_NODE_IMAGE names another node image")
        yield kubeconfig, ["kind", "load", "docker-image", *named]
    finally:
        if settings.keep and kubeconfig.exists():
            print(f"kept: export KUBECONFIG={kubeconfig}; kind delete cluster --name {name}")
        else:
            subprocess.run(["kind", "delete", "cluster", *named, "--kubeconfig", str(kubeconfig)])
            shutil.rmtree(folder, ignore_errors=True)


class ImageBuild:
    """Images with a tag of this run's own, built while the tests run that need none.

    Each image has a second name with the tag `TAG-older`, for the story that upgrades.
    """

    def __init__(self, tag: str) -> None:
        """Begins. Raises ToolError."""
        require("docker")
        self.tag = tag
        self._log = ARTIFACTS / "images.log"
        self._names = [f"{role.image}:{tag}" for role in ROLES if role.image != WITHOUT_WEIGHTS]
        build = [sys.executable, str(ROOT / "tools" / "images.py"), "--tag", tag]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(build, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def finish(self) -> list[str]:
        """Waits; all names of the images. Raises ToolError."""
        status = self._process.wait()
        print(self._log.read_text(errors="replace"), flush=True)
        if status != 0:
            raise ToolError("the images could not be built")
        for name in self._names:
            subprocess.run(["docker", "tag", name, f"{name}{OLDER}"], check=True)
        return [*self._names, *(f"{name}{OLDER}" for name in self._names)]

    def remove(self) -> None:
        """Ends the building, if it still goes on, and takes away what there is."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        every = [f"{role.image}:{self.tag}" for role in ROLES]
        older = [f"{name}{OLDER}" for name in self._names]
        subprocess.run(["docker", "image", "rm", *every, *older], capture_output=True)


def load(command: Sequence[str], names: Sequence[str], kubeconfig: Path) -> None:
    """Raises ToolError."""
    started = time.monotonic()
    if subprocess.run([*command, *names], env={**os.environ, "KUBECONFIG": str(kubeconfig)}).returncode != 0:
        raise ToolError(f"{' '.join(command)} could not load the images")
    print(f"{len(names)} images loaded in {time.monotonic() - started:.0f} s", flush=True)


@dataclass(frozen=True)
class Part:
    """Tests that run in one pytest: those that bring what they need, or those that need the images."""

    name: str
    options: Sequence[str] = ()

    @property
    def table(self) -> Path:
        return ARTIFACTS / f"{self.name}.json"


BARE = Part("bare", ("-n", "3", "--dist", "loadfile"))
WITH_IMAGES = Part("with-images")


@dataclass
class Result:
    """How one pytest ended: its exit code, the lines of its table, and the end of its output."""

    status: int
    lines: list[dict[str, Any]]
    said: str


def run_part(part: Part, kubeconfig: Path, arguments: Sequence[str], **environment: str) -> Result:
    """Runs pytest, which takes back what it made, and tells of it, when it is stopped."""
    paths = [] if any(Path(each.split("::")[0]).exists() for each in arguments) else ["e2e"]
    command = [sys.executable, "-m", "pytest", "-m", "cluster", *part.options, *paths, *arguments]
    settings = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "MILEPOST_E2E_PART": part.name,
        "MILEPOST_E2E_TABLE": str(part.table),
        **environment,
    }
    # In a session of its own, so that a Ctrl-C reaches it once, and from here.
    tests = subprocess.Popen(
        command, cwd=ROOT, env=settings, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said = pass_on(tests)
        status = tests.wait()
    except KeyboardInterrupt:
        tests.send_signal(signal.SIGINT)
        said = pass_on(tests)
        status = tests.wait(STOP_SECONDS)
    finally:
        if tests.poll() is None:
            tests.kill()
    lines = json.loads(part.table.read_text()) if part.table.exists() else []
    return Result(status, lines, said)


def pass_on(process: subprocess.Popen[bytes]) -> str:
    """Shows the output of a process as it comes, until it ends; gives the end of it back."""
    assert process.stdout is not None
    kept = b""
    while chunk := os.read(process.stdout.fileno(), 64 * 1024):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        kept = (kept + chunk)[-KEPT_BYTES:]
    return kept.decode(errors="replace")


def print_table(results: Sequence[Result], seconds: float) -> None:
    """What was tried, how it went and how long it took; the last line alone tells whether and what failed."""
    table = runpy.run_path(str(ROOT / "e2e" / "e2e_table.py"))
    lines = [line for each in results for line in table["judged"](each.lines, each.status, each.said)]
    print(f"\n{table['rendered'](lines)}\n")
    if any(line["result"] == table["FAILED"] for line in lines):
        print(f"logs, events, resources and journals of what failed: {ARTIFACTS.relative_to(ROOT)}")
    print(table["summary"](lines, seconds))


def run_all(
    build: ImageBuild | None, settings: Settings, kubeconfig: Path, command: Sequence[str], arguments: Sequence[str]
) -> list[Result]:
    """Both parts; the second only when the first was not cut short. Raises ToolError."""
    bare = run_part(BARE, kubeconfig, arguments)
    if bare.status not in (PASSED, FAILED, NOTHING):
        return [bare]
    tag, environment = settings.tag or "", {}
    if build:
        names = build.finish()
        load(command, names, kubeconfig)
        tag, environment = build.tag, {"MILEPOST_E2E_OLDER_TAG": f"{build.tag}{OLDER}"}
    rest = run_part(WITH_IMAGES, kubeconfig, arguments, MILEPOST_E2E_TAG=tag, **environment)
    ran = [each for each in (bare, rest) if each.status != NOTHING]
    return ran or [rest]


def run(settings: Settings, arguments: Sequence[str]) -> int:
    """Everything from the cluster to the table. Raises ToolError."""
    started = time.monotonic()
    require("helm")
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir(parents=True)
    with given_cluster(settings) if settings.current else kind_cluster(settings) as (kubeconfig, command):
        build = None if settings.tag else ImageBuild(f"e2e-{os.getpid()}")
        try:
            results = run_all(build, settings, kubeconfig, command, arguments)
        finally:
            if build and not settings.keep:
                build.remove()
    print_table(results, time.monotonic() - started)
    return max(each.status for each in results)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Once: who ends a group of processes may tell each of them, and `make` tells its own too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, interrupt)
    # In the background of a shell it is ignored, by children too: pytest could then not be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(Settings.of(os.environ), sys.argv[1:])
    except ToolError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
