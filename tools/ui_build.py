"""The static files of the UI: built once for each state of its sources, kept in the cache, copied into the gateway.

Kept to the standard library, because set-up runs it before anything is installed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from console import ToolError, run_logged
from node import Node, find_node
from pip_runner import Pip
from ui_licenses import notices

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "services" / "ui"
STATIC = ROOT / "services" / "gateway" / "milepost_gateway" / "static"
NODE_LOCK = ROOT / "requirements-node.lock"
KEY = ".built-from"
INSTALLED = ".installed-from"
KEPT_BUILDS = 5
BUILD_FILES = ("index.html", "package.json", "package-lock.json", ".npmrc", "vite.config.*", "tsconfig*.json")
FETCHED = re.compile(r"^npm http (?:fetch|cache)\b")
CAUSES = (
    (r"ENOSPC|No space left", "the disk is full"),
    (r"EINTEGRITY", "a package differs from its hash in package-lock.json; nothing was installed"),
    (
        r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|network request|E50[0-9]",
        "the package registry does not answer; check network and npm settings",
    ),
    (r"EUSAGE|can only install packages when", "package.json and package-lock.json differ; run `npm install` there"),
    (r"EACCES|EPERM|[Pp]ermission denied", "permission denied"),
)


class UiBuild:
    """What `make setup` and `make ui` do for one clone."""

    def __init__(self, cache: Path, pip: Pip, log: Path, ui: Path = UI, static: Path = STATIC) -> None:
        self.cache = cache / "ui"
        self.ui = ui
        self.static = static
        self.log = log
        self._node_cache = cache
        self._pip = pip

    @property
    def key(self) -> str:
        """Hash of everything that shapes the build; empty when there is nothing to build."""
        names = sorted(self._sources())
        digest = hashlib.sha256()
        for path in names:
            digest.update(f"{path.relative_to(self.ui)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()[:16] if names else ""

    @property
    def is_current(self) -> bool:
        """Whether the gateway has what the sources would become."""
        return not self.key or (_read(self.static / KEY) == self.key and (self.static / "index.html").is_file())

    def make(self, progress: Callable[[str], None]) -> None:
        """Bring the static files up to date, from the cache where they were built before. Raises ToolError."""
        kept = self.cache / self.key
        try:
            if not (kept / "index.html").is_file():
                self._build(kept, progress)
            self._publish(kept)
        except OSError as error:
            raise ToolError(f"{error.filename or self.cache}: {error.strerror or error}") from error

    def node(self, progress: Callable[[str], None]) -> Node:
        """Raises ToolError when there is none for this machine."""
        return find_node(self._node_cache, NODE_LOCK, self._pip, progress)

    def packages(self, node: Node, progress: Callable[[str], None]) -> None:
        """`npm ci`, unless what is installed comes from the present lock file. Raises ToolError."""
        lock = (self.ui / "package-lock.json").read_bytes()
        wanted = hashlib.sha256(lock).hexdigest()
        mark = self.ui / "node_modules" / INSTALLED
        if _read(mark) == wanted:
            return
        total, seen = lock.count(b'"node_modules/'), 0

        def on_line(text: str) -> None:
            nonlocal seen
            seen += bool(FETCHED.match(text))
            progress(f"{min(seen, total)} of {total} packages")

        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--loglevel=http")
        progress(f"{total} packages")
        self._run("npm ci", [*node.npm, "ci", *options], node, on_line)
        mark.write_text(wanted)

    def _build(self, kept: Path, progress: Callable[[str], None]) -> None:
        node = self.node(progress)
        self.packages(node, progress)
        progress("building")
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=self.cache) as scratch:
            made = Path(scratch) / "static"
            vite = "node_modules/vite/bin/vite.js"
            command = [str(node.program), vite, "build", "--outDir", str(made), "--emptyOutDir", "--logLevel", "warn"]
            self._run("the build", command, node, lambda text: None)
            (made / "licenses.txt").write_text(notices(self.ui))
            (made / KEY).write_text(self.key)
            if not kept.exists():
                made.rename(kept)
        for old in sorted(self.cache.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)[:-KEPT_BUILDS]:
            shutil.rmtree(old, ignore_errors=True)

    def _publish(self, kept: Path) -> None:
        """Put the files where the gateway serves them from, whole or not at all."""
        self.static.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".static-", dir=self.static.parent) as scratch:
            shutil.copytree(kept, Path(scratch) / "new")
            if self.static.exists():
                self.static.rename(Path(scratch) / "old")
            (Path(scratch) / "new").rename(self.static)

    def _run(self, what: str, command: Sequence[str], node: Node, on_line: Callable[[str], None]) -> None:
        status, tail = run_logged(command, self.log, on_line, node.environment, self.ui)
        if status != 0:
            raise ToolError(f"{what}: {_cause(tail)} (all of it: {self.log})")

    def _sources(self) -> Iterator[Path]:
        for pattern in (*BUILD_FILES, "src/**/*", "public/**/*", "build/**/*"):
            yield from (path for path in self.ui.glob(pattern) if path.is_file() and ".test." not in path.name)


def _cause(tail: list[str]) -> str:
    text = "\n".join(tail)
    for pattern, meaning in CAUSES:
        if re.search(pattern, text):
            return meaning
    errors = [line for line in tail if re.search(r"\berror\b", line, re.IGNORECASE)]
    return (errors or tail or ["no output"])[-1][:200]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
