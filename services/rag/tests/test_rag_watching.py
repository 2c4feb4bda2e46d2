"""The kernel tells of changes below the folder: each wakes who waits, and what is no document does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost_rag.watching import FolderWatch

HANGS = 60.0


def swap_config_map(folder: Path) -> None:
    (folder / "..2").mkdir()
    (folder / "..2" / "a.md").write_text("new")
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").replace(folder / "..data")


def write_into_a_new_folder(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "b.md").write_text("new")


def make_the_folder_anew(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "..1").mkdir(parents=True)
    (folder / "..1" / "a.md").write_text("old")
    (folder / "..data").symlink_to("..1")
    (folder / "a.md").symlink_to("..data/a.md")
    (folder / "c.md").write_text("old")
    return folder


@pytest.mark.requirement("RAG-1")
@pytest.mark.parametrize(
    "change",
    [
        swap_config_map,
        write_into_a_new_folder,
        make_the_folder_anew,
        lambda folder: (folder / "c.md").write_text("new"),
        lambda folder: (folder / "c.md").unlink(),
        lambda folder: (folder / "c.md").rename(folder / "d.md"),
        lambda folder: (folder / "c.md").chmod(0o600),
    ],
)
async def test_a_change_wakes_who_waits(folder: Path, change: Callable[[Path], object]) -> None:
    with FolderWatch(folder) as watch:
        change(folder)
        assert await watch.changed(HANGS)


async def test_folders_that_came_are_watched_too(folder: Path) -> None:
    with FolderWatch(folder) as watch:
        write_into_a_new_folder(folder)
        assert await watch.changed(HANGS)
        (folder / "below" / "b.md").write_text("newer")
        assert await watch.changed(HANGS)
        make_the_folder_anew(folder)
        assert await watch.changed(HANGS)
        (folder / "e.md").write_text("new")
        assert await watch.changed(HANGS)


async def test_hidden_names_and_neighbours_of_the_folder_wake_nobody(folder: Path) -> None:
    with FolderWatch(folder) as watch:
        (folder / ".c.md.swp").write_text("draft")
        (folder.parent / "neighbour").mkdir()
        assert not await watch.changed(0.5)
