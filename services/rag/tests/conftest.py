"""A small manual about a lighthouse, and the real embedding model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost_rag.embedder import Embedder
from milepost_service.models import default_cache_dir, ensure_minilm

MANUAL = {
    "lamp.md": """\
# The lamp

The lamp burns rapeseed oil and must be trimmed every four hours.

## Cleaning the lens

Polish the Fresnel lens with vinegar and a soft cloth each morning. Never use sand.

## Fuel

A full tank of oil holds forty litres and lasts nine nights.
""",
    "fog.md": """\
# Fog signals

In fog the bell is struck twice every thirty seconds until ships at sea can be seen again.
""",
    "garden/goats.md": """\
# Goats

The keeper milks the goats before sunrise. Their cheese ripens in the cellar under the tower.
""",
    "notes.txt": "The supply boat Albatross-7 comes on the first Tuesday of the month.\n",
    "ignored.docx": "PK",
    ".hidden.md": "# Secret\n\nNothing to see.\n",
}


def write_manual(folder: Path) -> Path:
    for name, text in MANUAL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    return write_manual(tmp_path / "manual")


@pytest.fixture(scope="module")
def shared_manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that only read."""
    return write_manual(tmp_path_factory.mktemp("shared") / "manual")


@pytest.fixture(scope="session")
def minilm() -> Path:
    return ensure_minilm(default_cache_dir())


@pytest.fixture(scope="session")
def embedder(minilm: Path) -> Iterator[Embedder]:
    embedder = Embedder(minilm)
    yield embedder
    embedder.close()
