"""What every test of the repository shares: a failing test leaves its evidence under artifacts/."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).resolve().parent / "artifacts" / "tests"
LARGEST_KEPT_BYTES = 20 * 2**20
EVIDENCE = pytest.StashKey[list[Path]]()


@pytest.fixture
def keep_on_failure(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """Registers a folder or file whose content is copied under artifacts/ when this test fails; returns it."""
    kept = request.node.stash.setdefault(EVIDENCE, [])

    def keep(path: Path) -> Path:
        kept.append(path)
        return path

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        folder = ARTIFACTS / re.sub(r"[^\w.-]+", "_", item.nodeid)[-150:]
        folder.mkdir(parents=True, exist_ok=True)
        sections = [f"---- {title}\n{content}" for title, content in report.sections]
        (folder / f"{report.when}.txt").write_text("\n".join([report.longreprtext, *sections]))
        for path in _evidence(item):
            _copy(path, folder)
    return report


def _evidence(item: pytest.Item) -> list[Path]:
    """Registered paths, and the test's tmp_path when it has one and it holds none of them."""
    kept = item.stash.get(EVIDENCE, [])
    temporary = getattr(item, "funcargs", {}).get("tmp_path")
    return [*kept, temporary] if isinstance(temporary, Path) and temporary not in kept else list(kept)


def _copy(path: Path, folder: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, folder / path.name, ignore=_too_large, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    elif path.is_file() and path.stat().st_size <= LARGEST_KEPT_BYTES:
        shutil.copy2(path, folder)


def _too_large(folder: str, names: list[str]) -> list[str]:
    """Model files, sockets and the like are no evidence."""
    paths = [Path(folder, name) for name in names]
    return [
        path.name
        for path in paths
        if not path.is_dir() and not (path.is_file() and path.stat().st_size <= LARGEST_KEPT_BYTES)
    ]
