"""Killed with SIGKILL while it indexes: what was whole stays whole, and what was embedded is not embedded again."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from milepost_rag.embedder import Embedder, Vectors
from milepost_rag.library import Library

pytestmark = pytest.mark.models
# Indexes the folder, and stops for ever where it is told to.
INDEXING = """\
import asyncio, sys, time
from pathlib import Path
from milepost_rag.index import Index
from milepost_rag.library import Library

folder, data, model, method, passage = sys.argv[1:]
calls = 0
original = getattr(Index, method)

def stopping(self, *arguments):
    global calls
    calls += 1
    if calls > int(passage):
        print("here", flush=True)
        time.sleep(600)
    return original(self, *arguments)

setattr(Index, method, stopping)
asyncio.run(Library(Path(folder), Path(data), Path(model), chunk_tokens=200).open())
"""


def killed_in(method: str, after: int, *paths: Path) -> None:
    """Kills a process that indexes when it has called a method of the index so many times and is about to again."""
    arguments = [*map(str, paths), method, str(after)]
    with subprocess.Popen([sys.executable, "-c", INDEXING, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()


@pytest.mark.requirement("RAG-1")
@pytest.mark.parametrize(
    ("method", "after", "embedded_again"),
    [("stage", 2, 2), ("publish", 0, 0), ("_take_over", 2, 0)],
    ids=["between two documents", "before it is served", "while it takes its place"],
)
async def test_killed_while_indexing_it_goes_on_where_it_was(
    manual: Path,
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    after: int,
    embedded_again: int,
) -> None:
    data = tmp_path / "data"
    killed_in(method, after, manual, data, minilm)
    with contextlib.closing(sqlite3.connect(data / "index.db")) as index:
        assert index.execute("SELECT count(*) FROM documents").fetchone() == (0,)
        assert index.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    embedded: list[str] = []
    embed = Embedder.embed

    def recorded(self: Embedder, texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(Embedder, "embed", recorded)
    library = Library(manual, data, minilm, chunk_tokens=200)
    try:
        await library.open()
        assert len(embedded) == embedded_again
        assert (library.standing.documents, library.standing.passages) == (4, 6)
        best, *_ = await library.search("How are ships warned in misty weather?", 3)
        assert best.path == "fog.md"
    finally:
        await library.close()
    with contextlib.closing(sqlite3.connect(data / "index.db")) as index:
        assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert index.execute("SELECT count(*) FROM staged_documents").fetchone() == (0,)
        assert index.execute("SELECT count(*), count(DISTINCT text) FROM chunks").fetchone() == (6, 6)
