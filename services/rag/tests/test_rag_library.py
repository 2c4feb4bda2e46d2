"""The index follows the folder, survives restarts, and finds by meaning and by word."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pdf_files import encrypted

from milepost_crds import Rag
from milepost_rag import documents
from milepost_rag.embedder import Embedder, Vectors
from milepost_rag.index import Index
from milepost_rag.library import Changes, Library, Standing
from milepost_rag.limits import Limits
from milepost_rag.main import documents_folder
from milepost_service.errors import ConfigurationError

pytestmark = pytest.mark.models
Opener = Callable[..., AbstractAsyncContextManager[Library]]


@pytest.fixture
def opened(manual: Path, minilm: Path, tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def open_library(chunk_tokens: int = 200, limits: Limits | None = None) -> AsyncIterator[Library]:
        library = Library(manual, tmp_path / "data", minilm, chunk_tokens=chunk_tokens, limits=limits)
        try:
            await library.open()
            yield library
        finally:
            await library.close()

    return open_library


@pytest.mark.requirement("RAG-1")
@pytest.mark.parametrize(
    ("question", "source", "location"),
    [
        ("How do I wash the glass of the light?", "lamp.md", "The lamp > Cleaning the lens, line 7"),
        ("How are ships warned in misty weather?", "fog.md", "Fog signals, line 3"),
        ("Where is dairy stored?", "garden/goats.md", "Goats, line 3"),
        ("Albatross-7", "notes.txt", "line 1"),
    ],
)
async def test_the_right_passage_comes_first(opened: Opener, question: str, source: str, location: str) -> None:
    async with opened() as library:
        best, *rest = await library.search(question, 3)
    assert (best.path, best.chunk.location) == (source, location)
    assert len(rest) == 2
    assert -1 <= best.score <= 1


@pytest.mark.requirement("RAG-1")
async def test_changes_additions_and_deletions_are_picked_up(opened: Opener, manual: Path) -> None:
    async with opened() as library:
        before = library.standing.passages
        assert await library.refresh() == Changes()
        (manual / "fog.md").write_text("# Fog signals\n\nA steam whistle sounds three times.\n")
        (manual / "new.md").write_text("# Keeper\n\nThe keeper is called Ingrid.\n")
        (manual / "garden" / "goats.md").unlink()
        changes = await library.refresh()
        assert changes == Changes(indexed=("fog.md", "new.md"), removed=("garden/goats.md",))
        assert library.standing.passages == before
        texts = [passage.chunk.text for passage in await library.search("bell, whistle, goats, Ingrid", 20)]
    assert len(texts) == len(set(texts)) == before
    assert any("steam whistle" in text for text in texts)
    assert any("Ingrid" in text for text in texts)
    assert not any("bell" in text or "goats" in text for text in texts)


class MountedConfigMap:
    """A folder as kubelet lays it out: names that link into `..data`, which links to a folder of the version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0

    def put(self, texts: dict[str, str]) -> None:
        """Writes a new version beside the old one and swaps the link, as kubelet does."""
        self._version += 1
        version = self.folder / f"..2026_11_23_16_50_{self._version:02}.123456789"
        version.mkdir(parents=True)
        for name, text in texts.items():
            (version / name).write_text(text)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data", name))
        new = self.folder / "..data_tmp"
        new.symlink_to(version.name)
        old = (self.folder / "..data").resolve() if self._version > 1 else None
        new.replace(self.folder / "..data")
        if old:
            for file in old.iterdir():
                if file.name not in texts:
                    (self.folder / file.name).unlink()
                file.unlink()
            old.rmdir()


@pytest.mark.requirement("RAG-1")
async def test_a_mounted_config_map_is_read_once_and_followed_when_it_is_swapped(tmp_path: Path, minilm: Path) -> None:
    mounted = MountedConfigMap(tmp_path / "documents")
    mounted.put({"lamp.md": "# Lamp\n\nIt burns oil.\n", "fog.md": "# Fog\n\nThe bell is struck.\n"})
    library = Library(mounted.folder, tmp_path / "data", minilm, chunk_tokens=200)
    try:
        await library.open()
        assert (library.standing.documents, library.standing.passages) == (2, 2)
        mounted.put({"lamp.md": "# Lamp\n\nIt burns gas.\n", "keeper.md": "# Keeper\n\nShe is called Ingrid.\n"})
        assert await library.refresh() == Changes(indexed=("keeper.md", "lamp.md"), removed=("fog.md",))
        texts = " ".join(passage.chunk.text for passage in await library.search("oil or gas", 10))
        assert "burns gas" in texts
        assert "burns oil" not in texts
        mounted.put({"lamp.md": "# Lamp\n\nIt burns gas.\n", "keeper.md": "# Keeper\n\nShe is called Ingrid.\n"})
        assert await library.refresh() == Changes(), "new files with the same content are not embedded again"
    finally:
        await library.close()


def test_a_folder_on_a_claim_must_lie_on_it(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "texts" / "new").mkdir(parents=True)
    (volume / "inside").symlink_to("texts/new")
    (volume / "outside").symlink_to(tmp_path)

    def rag(path: str) -> Rag:
        claim = {"persistentVolumeClaim": {"claimName": "texts", "path": path}}
        return Rag.model_validate({"documents": claim, "modelRef": {"name": "m"}})

    for path in ("texts/new", "inside"):
        assert documents_folder(rag(path), volume / path) == volume / path
    with pytest.raises(ConfigurationError, match=r"^rag.documents.persistentVolumeClaim.path: 'outside' leads out"):
        documents_folder(rag("outside"), volume / "outside")


async def test_a_restart_indexes_nothing_again(opened: Opener, manual: Path) -> None:
    async with opened() as library:
        count = library.standing.passages
    os.utime(manual / "fog.md", (1, 1))
    async with opened() as library:
        assert library.standing.passages == count
        assert await library.refresh() == Changes()


async def test_another_passage_length_makes_the_index_anew(opened: Opener) -> None:
    async with opened() as library:
        whole = library.standing.passages
    async with opened(chunk_tokens=8) as library:
        assert library.standing.passages > whole


async def test_a_damaged_index_is_made_anew(opened: Opener, tmp_path: Path) -> None:
    async with opened() as library:
        count = library.standing.passages
    (tmp_path / "data" / "index.db").write_bytes(b"not a database at all" * 100)
    async with opened() as library:
        assert library.standing.passages == count


@pytest.mark.requirement("RAG-1")
async def test_what_cannot_be_read_is_named_the_rest_is_served_and_a_new_version_is_read(
    opened: Opener, manual: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (manual / "huge.md").write_text("x " * 1000)
    (manual / "safe.pdf").write_bytes(encrypted("secret"))
    limits = Limits(text_bytes=1000)
    reasons = {
        "huge.md": "has 0.0 MiB; allowed: at most 0 MiB",
        "safe.pdf": "is encrypted; allowed: a PDF file that opens without a password",
    }
    async with opened(limits=limits) as library:
        assert library.standing == Standing(4, 6, reasons)
        assert "safe.pdf is left out: it is encrypted" in caplog.text
        caplog.clear()
        assert await library.refresh() == Changes(), "a refusal stands as long as the file does"
        assert caplog.text == ""
        (manual / "safe.pdf").write_bytes(encrypted(""))
        (manual / "huge.md").unlink()
        assert await library.refresh() == Changes(indexed=("safe.pdf",), removed=("huge.md",))
        assert library.standing == Standing(5, 7, {})
        best, *_ = await library.search("what does the safe hold?", 1)
    assert (best.path, best.chunk.location) == ("safe.pdf", "page 1")


@pytest.mark.requirement("RAG-1")
async def test_a_full_corpus_refuses_what_comes_later_until_there_is_room(opened: Opener, manual: Path) -> None:
    async with opened(limits=Limits(passages=6)) as library:
        assert library.standing == Standing(4, 6, {})
        (manual / "new.md").write_text("# Keeper\n\nThe keeper is called Ingrid.\n")
        assert await library.refresh() == Changes(refused=("new.md",))
        assert library.standing.refused == {"new.md": "has 1 passages and the others 6; allowed: 6 in all"}
        assert await library.refresh() == Changes()
        (manual / "fog.md").unlink()
        assert await library.refresh() == Changes(indexed=("new.md",), removed=("fog.md",))
        assert library.standing == Standing(4, 6, {})


async def test_documents_beyond_the_number_allowed_are_counted(opened: Opener) -> None:
    async with opened(limits=Limits(documents=3)) as library:
        assert library.standing.documents == 3
        assert library.standing.refused == {"1 more": "the folder holds over 3 documents"}


@pytest.mark.requirement("RAG-1")
async def test_a_change_of_several_documents_is_seen_whole_or_not_at_all(opened: Opener, manual: Path) -> None:
    names = [f"part{number}.md" for number in range(8)]

    def write(version: str) -> None:
        for name in names:
            (manual / name).write_text(f"# Part\n\nThe password of {name} is {version}.\n")

    async def versions() -> set[str]:
        found = await library.search("password of part", 20)
        texts = [passage.chunk.text for passage in found if passage.path in names]
        assert len(texts) == len(names)
        return {text.rstrip(".").split()[-1] for text in texts}

    write("apple")
    async with opened() as library:
        write("pear")
        change = asyncio.create_task(library.refresh())
        seen = []
        while not change.done():
            seen.append(await versions())
        assert (await change).indexed == tuple(names)
        assert await versions() == {"pear"}
    assert len(seen) > 2
    assert all(each in ({"apple"}, {"pear"}) for each in seen), seen


async def test_what_was_staged_before_a_crash_is_not_embedded_again(
    opened: Opener, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Index, present: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(Index, "publish", crash)
        async with opened():
            pass
    (manual / "fog.md").write_text("# Fog\n\nA steam whistle sounds.\n")
    (manual / "notes.txt").unlink()
    embedded: list[str] = []
    embed = Embedder.embed

    def recorded(self: Embedder, texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(Embedder, "embed", recorded)
    async with opened() as library:
        assert embedded == ["Fog\nA steam whistle sounds."]
        assert library.standing == Standing(3, 5, {})


async def test_a_document_that_is_being_written_keeps_its_old_version(
    opened: Opener, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as library:
        scan = documents.scan

        def scan_then_write(folder: Path) -> list[documents.File]:
            files = list(scan(folder))
            (manual / "fog.md").write_text("# Fog\n\nHalf a sent")
            return files

        (manual / "fog.md").write_text("# Fog\n\nHalf")
        with monkeypatch.context() as patched:
            patched.setattr(documents, "scan", scan_then_write)
            assert await library.refresh() == Changes(unsettled=("fog.md",))
        assert "bell" in " ".join(passage.chunk.text for passage in await library.search("fog", 10))
        (manual / "fog.md").write_text("# Fog\n\nHalf a sentence is whole now.")
        assert await library.refresh() == Changes(indexed=("fog.md",))


async def test_a_link_that_leaves_the_folder_is_not_followed(opened: Opener, manual: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.md").write_text("# Outside\n\nprivate\n")
    (manual / "link.md").symlink_to(tmp_path / "outside.md")
    async with opened() as library:
        assert library.standing.documents == 4


async def test_a_mounted_config_map_is_read_once_and_its_update_is_seen(minilm: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for version, text in (("..1", "The gate code is 1234."), ("..2", "The gate code is 9876.")):
        (mount / version).mkdir(parents=True)
        (mount / version / "gate.md").write_text(text)
    (mount / "..data").symlink_to("..1")
    (mount / "gate.md").symlink_to("..data/gate.md")
    library = Library(mount, tmp_path / "data", minilm, chunk_tokens=200)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(library.close)
        await library.open()
        assert library.standing.documents == 1
        (mount / "..tmp").symlink_to("..2")
        (mount / "..tmp").rename(mount / "..data")
        assert (await library.refresh()).indexed == ("gate.md",)
        (found,) = await library.search("gate code", 5)
    assert found.chunk.text == "The gate code is 9876."


async def test_a_missing_folder_is_a_configuration_error(minilm: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "none", tmp_path / "data", minilm, chunk_tokens=200)
    with pytest.raises(ConfigurationError, match=r"MILEPOST_DOCUMENTS_DIR: .* is not there"):
        await library.open()
    await library.close()


async def test_a_data_folder_that_cannot_be_made_is_a_configuration_error(
    manual: Path, minilm: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    library = Library(manual, tmp_path / "file" / "data", minilm, chunk_tokens=200)
    with pytest.raises(ConfigurationError, match=r"MILEPOST_DATA_DIR: .* cannot be used"):
        await library.open()
    await library.close()
