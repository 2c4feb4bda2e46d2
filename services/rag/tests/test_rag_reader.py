"""A document that cannot be read costs that one alone: a reason by name, bounded time and memory, then the next one."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pdf_files import encrypted, nested_arrays, page_within_itself, pdf_of, unpacking_to

from milepost_rag.limits import MIB, Limits
from milepost_rag.reader import Reader

GOOD = b"# Good\n\nIt is read.\n"
ORDINARY = Limits()
LITTLE_MEMORY = Limits(reader_bytes=128 * MIB)
LITTLE_TIME = Limits(reader_cpu_seconds=1)
LITTLE_TEXT = Limits(characters=10_000)


@asynccontextmanager
async def reading(folder: Path, limits: Limits = ORDINARY) -> AsyncIterator[Reader]:
    reader = Reader(folder, limits)
    try:
        yield reader
    finally:
        await reader.close()


async def refusal(folder: Path, name: str, limits: Limits = ORDINARY) -> str:
    """Why the document is refused; the next one must be read after it."""
    (folder / "good.md").write_bytes(GOOD)
    async with reading(folder, limits) as reader:
        refused = await reader.read(name)
        assert not refused.blocks
        assert [block.text for block in (await reader.read("good.md")).blocks] == ["It is read."]
    return refused.refused


@pytest.mark.requirement("RAG-1")
@pytest.mark.parametrize(
    ("name", "made", "limits", "reason"),
    [
        ("bomb.pdf", lambda: unpacking_to(100 * MIB), ORDINARY, "unpacks to more than can be read"),
        ("slow.html", lambda: b"<a " * 250_000, LITTLE_TIME, "takes more CPU time to be read than the 1 s allowed"),
        ("heavy.md", lambda: b"*a " * 250_000, LITTLE_MEMORY, "needs more memory to be read than the 128 MiB allowed"),
        ("circle.pdf", page_within_itself, ORDINARY, "is damaged, or no PDF file: Detected cyclic page references"),
        ("deep.pdf", lambda: nested_arrays(100_000), ORDINARY, "is damaged, or no PDF file"),
        (
            "locked.pdf",
            lambda: encrypted("secret"),
            ORDINARY,
            "is encrypted; allowed: a PDF file that opens without a password",
        ),
        ("cut.pdf", lambda: pdf_of([[(12, "hello")]])[:200], ORDINARY, "is damaged, or no PDF file: Stream has ended"),
        ("empty.pdf", lambda: b"", ORDINARY, "is damaged, or no PDF file: Cannot read an empty file"),
        ("scan.pdf", lambda: pdf_of([[]]), ORDINARY, "holds no text; allowed: a PDF file with text"),
        ("novel.txt", lambda: b"word " * 3_000, LITTLE_TEXT, "holds over 10,000 characters of text"),
    ],
)
async def test_a_bad_document_is_refused_by_name_and_the_next_is_read(
    tmp_path: Path, name: str, made: Callable[[], bytes], limits: Limits, reason: str
) -> None:
    (tmp_path / name).write_bytes(made())
    assert reason in await refusal(tmp_path, name, limits)


@pytest.mark.requirement("RAG-1")
async def test_a_pdf_of_500_megabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "big.pdf").open("wb") as file:
        file.truncate(500 * MIB)
    assert await refusal(tmp_path, "big.pdf") == "has 500.0 MiB; allowed: at most 32 MiB"


async def test_a_pdf_that_opens_without_its_owners_password_is_read(tmp_path: Path) -> None:
    (tmp_path / "open.pdf").write_bytes(encrypted(""))
    async with reading(tmp_path) as reader:
        assert [block.text for block in (await reader.read("open.pdf")).blocks] == ["The safe holds gold."]


async def test_pages_nested_without_end_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep.html").write_bytes(b"<div>" * 20_000 + b"It is deep.")
    async with reading(tmp_path) as reader:
        assert [block.text for block in (await reader.read("deep.html")).blocks] == ["It is deep."]


async def test_a_pipe_and_a_link_that_leads_out_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    os.mkfifo(folder / "pipe.md")
    (tmp_path / "secret.md").write_bytes(GOOD)
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    assert await refusal(folder, "pipe.md") == "is no regular file"
    assert await refusal(folder, "link.md") == "leads out of the folder of documents"


async def test_a_reader_that_hangs_is_ended_and_started_anew(tmp_path: Path) -> None:
    (tmp_path / "slow.html").write_bytes(b"<a " * 500_000)
    refused = await refusal(tmp_path, "slow.html", Limits(reader_wall_seconds=0.01))
    assert refused == "was not read within 0 s"


async def test_what_was_read_before_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_bytes(GOOD)
    async with reading(tmp_path) as reader:
        first = await reader.read("good.md")
        again = await reader.read("good.md", digest=first.digest)
    assert (again.unchanged, again.blocks, again.digest) == (True, [], first.digest)
