"""`make e2e`: the stories on a real cluster. Makes a kind cluster, builds and loads the images, and deletes both again.

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

from console import ToolError
from image_layers import ROLES

ROOT = Path(__file__).resolve().parent.parent
KIND_CONFIG = ROOT / "kind-config.yaml"
ARTIFACTS = ROOT / "artifacts" / "e2e"
STORIES = ARTIFACTS / "stories.json"
CREATE_SECONDS = 120
STOP_SECONDS = 180.0
KEPT_BYTES = 64 * 1024
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


@contextmanager
def images(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """A tag of this run's own, and all names of the images built for it; they are removed at the end.

    Each image has a second name with the tag `TAG-older`, for the story that upgrades. Raises ToolError.
    """
    if settings.tag:
        yield settings.tag, []
        return
    require("docker")
    tag = f"e2e-{os.getpid()}"
    names = [f"{role.image}:{tag}" for role in ROLES if role.image != WITHOUT_WEIGHTS]
    older = [f"{name}{OLDER}" for name in names]
    try:
        build = [sys.executable, str(ROOT / "tools" / "images.py"), "--tag", tag]
        if subprocess.run(build, cwd=ROOT).returncode != 0:
            raise ToolError("the images could not be built")
        for name, other in zip(names, older, strict=True):
            subprocess.run(["docker", "tag", name, other], check=True)
        yield tag, [*names, *older]
    finally:
        if not settings.keep:
            every = [f"{role.image}:{tag}" for role in ROLES]
            subprocess.run(["docker", "image", "rm", *every, *older], capture_output=True)


def load(command: Sequence[str], names: Sequence[str], kubeconfig: Path) -> None:
    """Raises ToolError."""
    if not names:
        return
    started = time.monotonic()
    if subprocess.run([*command, *names], env={**os.environ, "KUBECONFIG": str(kubeconfig)}).returncode != 0:
        raise ToolError(f"{' '.join(command)} could not load the images")
    print(f"{len(names)} images loaded in {time.monotonic() - started:.0f} s", flush=True)


def run_stories(kubeconfig: Path, tag: str, names: Sequence[str], arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and end of the output of pytest, which takes back what it made, and tells of it, when it is stopped."""
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    paths = [] if any(Path(each.split("::")[0]).exists() for each in arguments) else ["e2e"]
    command = [sys.executable, "-m", "pytest", "-m", "cluster", *paths, *arguments]
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "MILEPOST_E2E_TAG": tag,
        "MILEPOST_E2E_TABLE": str(STORIES),
    }
    if names:
        environment["MILEPOST_E2E_OLDER_TAG"] = f"{tag}{OLDER}"
    # In a session of its own, so that a Ctrl-C reaches it once, and from here.
    tests = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said = pass_on(tests)
        return tests.wait(), said
    except KeyboardInterrupt:
        tests.send_signal(signal.SIGINT)
        said = pass_on(tests)
        return tests.wait(STOP_SECONDS), said
    finally:
        if tests.poll() is None:
            tests.kill()


def pass_on(process: subprocess.Popen[bytes]) -> str:
    """Shows the output of a process as it comes, until it ends; gives the end of it back."""
    assert process.stdout is not None
    kept = b""
    while chunk := os.read(process.stdout.fileno(), 64 * 1024):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        kept = (kept + chunk)[-KEPT_BYTES:]
    return kept.decode(errors="replace")


def print_table(status: int, said: str, seconds: float) -> None:
    """What was tried, how it went and how long it took; the last line alone tells whether and what failed."""
    lines = json.loads(STORIES.read_text()) if STORIES.exists() else []
    table = runpy.run_path(str(ROOT / "e2e" / "e2e_table.py"))
    lines = table["judged"](lines, status, said)
    print(f"\n{table['rendered'](lines)}\n")
    if any(line["result"] == table["FAILED"] for line in lines):
        print(f"logs, events, resources and journals of what failed: {ARTIFACTS.relative_to(ROOT)}")
    print(table["summary"](lines, seconds))


def run(settings: Settings, arguments: Sequence[str]) -> int:
    """Everything from the images to the table. Raises ToolError."""
    started = time.monotonic()
    require("helm")
    with images(settings) as (tag, names):
        if settings.current:
            load(settings.load, names, Path(settings.current))
            status, said = run_stories(Path(settings.current), tag, names, arguments)
        else:
            with kind_cluster(settings) as (kubeconfig, command):
                load(command, names, kubeconfig)
                status, said = run_stories(kubeconfig, tag, names, arguments)
    print_table(status, said, time.monotonic() - started)
    return status


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
