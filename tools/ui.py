"""`make ui`, `make ui-dev`, `make ui-test`, `make bench-ui` and the UI's part of `make check`.

usage: ui.py build [--tell] | dev [URL] | test [ARGS...] | browse [ARGS...] | check
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from console import LiveLine, ToolError
from node import Node
from pip_runner import Pip
from ui_build import ROOT, UI, UiBuild
from ui_licenses import problems

LOG = ROOT / "artifacts" / "ui.log"
PYTHON = ROOT / ".venv" / "bin" / "python"
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
DEV_TARGET = "http://127.0.0.1:8400"


def ui_build() -> UiBuild:
    cache = Path(os.environ.get("MILEPOST_CACHE_DIR") or "~/.cache/milepost").expanduser().absolute()
    LOG.parent.mkdir(exist_ok=True)
    return UiBuild(cache, Pip(PYTHON, LOG), LOG)


def build() -> int:
    ui = ui_build()
    line = LiveLine("ui")
    if ui.is_current:
        line.done("nothing to do")
        return 0
    try:
        ui.make(line.update)
    finally:
        line.close()
    line.done("built")
    return 0


def build_for_set_up() -> int:
    """Tells each progress at once in a line, for the process that shows it."""
    ui_build().make(lambda text: print(text, flush=True))
    return 0


def dev(target: str) -> int:
    """Vite's server on the sources, with the API of a gateway that runs."""
    node = _ready(ui_build())
    print(f"ui: the API is that of {target}; another: `make ui-dev ARGS=http://HOST:PORT`", flush=True)
    return _npm(node, "run", "dev", environment={"MILEPOST_GATEWAY": target})


def test(arguments: list[str]) -> int:
    """Vitest, then the stories; both are run even when the first fails."""
    units = _npm(_ready(ui_build()), "test")
    stories = browse(arguments)
    words = {True: "passed", False: "FAILED"}
    print(f"ui-test: Vitest {words[units == 0]}, stories in the browser {words[stories == 0]}", flush=True)
    return stories or units


def browse(arguments: list[str]) -> int:
    """The stories that `arguments` of Playwright choose, on the built UI."""
    build()
    browser = os.environ.get("MILEPOST_CHROMIUM") or next(filter(os.path.exists, CHROMIUM), "")
    if not browser:
        raise ToolError(
            "Chromium is needed; Debian, Ubuntu: apt-get install chromium, or name one in MILEPOST_CHROMIUM"
        )
    environment = {"MILEPOST_CHROMIUM": browser, "MILEPOST_PYTHON": str(PYTHON)}
    return _npm(_ready(ui_build()), "exec", "--", "playwright", "test", *arguments, environment=environment)


def check() -> int:
    """Types, lint and licenses; told and passed over where no Node can be had."""
    if not (UI / "package.json").exists():
        return 0
    try:
        node = _ready(ui_build())
    except ToolError as error:
        print(f"skipped: {error}")
        return 0
    failed = [script for script in ("typecheck", "lint") if _npm(node, "run", script, "--silent") != 0]
    found = problems(UI)
    sys.stdout.writelines(line + "\n" for line in found)
    return 1 if failed or found else 0


def _ready(ui: UiBuild) -> Node:
    line = LiveLine("ui packages")
    try:
        node = ui.node(line.update)
        ui.packages(node, line.update)
    finally:
        line.close()
    return node


def _npm(node: Node, *arguments: str, environment: dict[str, str] | None = None) -> int:
    merged = {**os.environ, **node.environment, **(environment or {})}
    return subprocess.run([*node.npm, *arguments], cwd=UI, env=merged).returncode


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command, *arguments = sys.argv[1:] or ["build"]
    try:
        if command == "dev":
            return dev(*arguments[:1] or [DEV_TARGET])
        if command in ("test", "browse"):
            return (test if command == "test" else browse)(arguments)
        if command == "check":
            return check()
        return build_for_set_up() if "--tell" in arguments else build()
    except ToolError as error:
        print(f"ui: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
