"""`make images`: the container images, each a target of images/Dockerfile, with their sizes.

TAG is the version of pyproject.toml unless given; ONLY=agent,tools builds some; BASE names another base image.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from console import LiveLine, ToolError, run_logged
from image_context import RECIPE, Context, Target, digest_of
from image_layers import ROLES, SLIM_BASE_MB, Role
from pip_runner import Pip
from ui import ui_build

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "dist" / "images"
LOG = ROOT / "artifacts" / "images.log"
DEFAULT_BASE = "python:3.13-slim"
GATEWAY = "gateway"
INPUTS_LABEL = "dev.milepost.inputs"
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
OWN_ERROR = re.compile(r"^(?:#\d+ [\d.]+ )?(install_layer: .+)$")
STEP = re.compile(r"^(?:Step (\d+/\d+)|#\d+ \[(\S+ +\d+/\d+)\])")
DESCRIBE_BASE = (
    "import json, platform; print(json.dumps([platform.python_version(), platform.machine(), platform.libc_ver()[1]]))"
)


@dataclass(frozen=True)
class Built:
    """One image after the build; sizes in MB (10^6 bytes), as Docker counts them."""

    role: Role
    name: str
    size_mb: float
    beyond_base_mb: float
    seconds: float

    @property
    def slim_mb(self) -> float:
        """What it weighs on the usual slim base."""
        return SLIM_BASE_MB + self.beyond_base_mb

    @property
    def within_limit(self) -> bool:
        return self.role.limit_mb is None or self.slim_mb < self.role.limit_mb


class Docker:
    """The few commands of Docker that a build needs."""

    def require(self) -> None:
        if not shutil.which("docker"):
            raise ToolError("docker is not on the PATH: install Docker Engine or Docker Desktop")
        done = subprocess.run(["docker", "version"], capture_output=True, text=True)
        if done.returncode != 0:
            raise ToolError(f"no Docker engine answers; start one, then run it again ({_last(done.stderr)})")

    def inspect(self, image: str) -> dict[str, object] | None:
        done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def tag(self, image: str, name: str) -> bool:
        return subprocess.run(["docker", "tag", image, name], capture_output=True).returncode == 0

    def with_inputs(self, inputs: str) -> str | None:
        """Id of an image that was built from these inputs, under whatever tag."""
        command = ["docker", "image", "ls", "--quiet", "--no-trunc", "--filter", f"label={INPUTS_LABEL}={inputs}"]
        return next(iter(subprocess.run(command, capture_output=True, text=True).stdout.split()), None)

    def target_of(self, base: str) -> Target:
        """What runs in `base`, which is pulled when it is not here."""
        command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", base, "-c", DESCRIBE_BASE]
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            return Target(*json.loads(done.stdout))
        except (ValueError, TypeError):
            raise ToolError(
                f"BASE {base}: cannot be pulled or has no Python with glibc ({_last(done.stderr)})"
            ) from None

    def build(self, role: Role, name: str, context: Path, options: Sequence[str], line: LiveLine) -> None:
        def on_line(text: str) -> None:
            if found := STEP.match(text):
                line.update(f"step {found[1] or found[2]}")

        command = ["docker", "build", "--network", "none", "--target", role.target, "-t", name, *options, str(context)]
        environment = {"BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}  # kind cannot load them
        status, tail = run_logged(command, LOG, on_line, environment)
        if status != 0:
            raise ToolError(f"{name}: docker build failed: {cause_of(tail)} (all of it: {LOG})")


class Build:
    """All images of one call."""

    def __init__(self, tag: str, base: str, roles: Sequence[Role]) -> None:
        self.tag = tag
        self.base = base
        self.roles = roles
        self.docker = Docker()
        self.context = MADE / "context"
        self.digests: dict[str, str] = {}

    def run(self) -> list[Built]:
        """Raises ToolError."""
        self.docker.require()
        target = self._target()
        base = self.docker.inspect(self.base)
        assert base is not None
        self._build_ui()
        line = LiveLine("context")
        cache = Path(os.environ.get("MILEPOST_CACHE_DIR") or "~/.cache/milepost").expanduser().absolute()
        Context(self.context, target, cache, Pip(Path(sys.executable), LOG)).write(line.update)
        line.done(f"Python {target.python}, {target.machine}, {_megabytes(self.context):.0f} MB")
        return [self._image(role, base) for role in self.roles]

    def _build_ui(self) -> None:
        """The gateway carries the web UI, which is built here because a build of an image has no network."""
        ui = ui_build()
        if not ui.is_current and any(role.target == GATEWAY for role in self.roles):
            line = LiveLine("ui")
            try:
                ui.make(line.update)
            finally:
                line.close()
            line.done("built")

    def _target(self) -> Target:
        """Asked of the base once, and then remembered for as long as it is the same."""
        found = self.docker.inspect(self.base)
        if found is None:
            print(f"base: pulling {self.base}", flush=True)
            return self.docker.target_of(self.base)
        known = MADE / f"base-{str(found['Id']).removeprefix('sha256:')[:12]}.json"
        if not known.exists():
            known.write_text(json.dumps(astuple(self.docker.target_of(self.base))))
        return Target(*json.loads(known.read_text()))

    def _image(self, role: Role, base: dict[str, object]) -> Built:
        started = time.monotonic()
        name = f"{role.image}:{self.tag}"
        arguments = {"BASE": self.base, "VERSION": str(_project()["version"])}
        inputs = self._inputs(role, arguments, str(base["Id"]))
        if self._inputs_of(name) == inputs:
            print(f"{name}: up to date", flush=True)
        elif (twin := self.docker.with_inputs(inputs)) and self.docker.tag(twin, name):
            print(f"{name}: the same as under another tag", flush=True)
        else:
            line = LiveLine(name)
            options = [part for each in arguments.items() for part in ("--build-arg", "=".join(each))]
            self.docker.build(role, name, self.context, [*options, "--label", f"{INPUTS_LABEL}={inputs}"], line)
            line.done("built")
        made = self.docker.inspect(name)
        assert made is not None
        size, base_size = float(str(made["Size"])), float(str(base["Size"]))
        return Built(role, name, size / 1e6, (size - base_size) / 1e6, time.monotonic() - started)

    def _inputs(self, role: Role, arguments: dict[str, str], base_id: str) -> str:
        """Names everything that shapes the image of `role`."""
        parts = [f"layers/{layer}" for layer in role.layers] + [*RECIPE] + (["models"] if role.embeds else [])
        shape = [role.target, base_id, *map("=".join, arguments.items()), *map(self._digest, parts)]
        return hashlib.sha256("\n".join(shape).encode()).hexdigest()[:32]

    def _digest(self, part: str) -> str:
        if part not in self.digests:
            self.digests[part] = digest_of([self.context / part], self.context)
        return self.digests[part]

    def _inputs_of(self, name: str) -> str | None:
        config = (self.docker.inspect(name) or {}).get("Config")
        labels = config.get("Labels") if isinstance(config, dict) else None
        return labels.get(INPUTS_LABEL) if labels else None


def table(images: Sequence[Built]) -> str:
    """Sizes, and what was wrong with them."""
    rows = [("image", "MB", "beyond base", f"on {SLIM_BASE_MB} MB", "limit", "seconds")]
    for image in images:
        sizes = [f"{size:.0f}" for size in (image.size_mb, image.beyond_base_mb, image.slim_mb)]
        limit = "-" if image.role.limit_mb is None else f"< {image.role.limit_mb}"
        mark = "" if image.within_limit else " OVER"
        rows.append((image.name, sizes[0], sizes[1], sizes[2], limit + mark, f"{image.seconds:.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    base = images[0].size_mb - images[0].beyond_base_mb
    lines.append(
        f"The base has {base:.0f} MB here; limits are counted on {SLIM_BASE_MB} MB, the usual python:3.13-slim."
    )
    return "\n".join(lines)


def cause_of(tail: Sequence[str]) -> str:
    """The line of a failed build that says why: our script's own, else the last one."""
    own = [found[1] for line in tail if (found := OWN_ERROR.match(line))]
    return own[-1] if own else _last("\n".join(tail))


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder of contexts, so that two builds do not write one context."""
    MADE.mkdir(parents=True, exist_ok=True)
    with (MADE / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("images: waiting for another build of this folder", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _project() -> dict[str, object]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project


def _roles(text: str) -> list[Role]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    known = {role.target: role for role in ROLES}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ToolError(f"ONLY: {unknown[0]!r} is no image; allowed: {', '.join(known)}")
    return [role for role in ROLES if not wanted or role.target in wanted]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Run 'docker")]
    return lines[-1][:200] if lines else "no output"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make images", description=__doc__)
    parser.add_argument("--tag", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--base", default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        LOG.parent.mkdir(exist_ok=True)
        tag = given.tag or str(_project()["version"])
        if not TAG.fullmatch(tag):
            raise ToolError(f"TAG: {tag!r} is no tag; allowed: letters, digits, `_`, `.`, `-`")
        roles = _roles(given.only)
        with alone():
            images = Build(tag, given.base or DEFAULT_BASE, roles).run()
    except KeyboardInterrupt:
        print("\nimages: stopped", file=sys.stderr)
        return 130
    except (ToolError, OSError) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"\nimages: {told}", file=sys.stderr)
        return 2
    print(f"\n{table(images)}\n{len(images)} images in {time.monotonic() - started:.1f} s; next:")
    print(f"  kind load docker-image {' '.join(image.name for image in images)}")
    return 0 if all(image.within_limit for image in images) else 1


if __name__ == "__main__":
    sys.exit(main())
