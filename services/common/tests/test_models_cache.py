"""Model files are made once, whole or not at all."""

import threading
from pathlib import Path

import pytest

from milepost_service.errors import ConfigurationError
from milepost_service.models import CachedFile, default_cache_dir, make_once


def write(content: str):
    return lambda part: part.write_text(content) and None


def test_a_good_file_is_not_made_again(tmp_path: Path) -> None:
    made = []
    file = CachedFile(tmp_path / "sub" / "m.gguf", "recipe 1")

    def make(part: Path) -> None:
        made.append(part)
        part.write_text("weights")

    assert make_once(file, make) == make_once(file, make) == file.path
    assert len(made) == 1
    assert file.path.read_text() == "weights"


@pytest.mark.parametrize("damage", ["shortened", "deleted", "record deleted", "older recipe"])
def test_a_file_that_cannot_be_trusted_is_made_again(tmp_path: Path, damage: str) -> None:
    file = CachedFile(tmp_path / "m.gguf", "recipe 1")
    make_once(file, write("old"))
    match damage:
        case "shortened":
            file.path.write_text("ol")
        case "deleted":
            file.path.unlink()
        case "record deleted":
            file.record_path.unlink()
        case _:
            file = CachedFile(file.path, "recipe 2")
    make_once(file, write("new"))
    assert file.path.read_text() == "new"
    assert file.is_good()


def test_a_failed_attempt_leaves_what_was_there_and_no_rubbish(tmp_path: Path) -> None:
    make_once(CachedFile(tmp_path / "m.gguf", "recipe 1"), write("old"))

    def fail(part: Path) -> None:
        part.write_text("half")
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match="no"):
        make_once(CachedFile(tmp_path / "m.gguf", "recipe 2"), fail)
    assert (tmp_path / "m.gguf").read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_of_several_makers_one_works_and_the_others_wait(tmp_path: Path) -> None:
    file = CachedFile(tmp_path / "m.gguf", "recipe")
    inside, go_on, made = threading.Event(), threading.Event(), []

    def make(part: Path) -> None:
        made.append(part)
        inside.set()
        assert go_on.wait(10)
        part.write_text("weights")

    heard: list[str] = []
    waiting = threading.Event()

    def progress(line: str) -> None:
        heard.append(line)
        waiting.set()

    first = threading.Thread(target=make_once, args=(file, make))
    second = threading.Thread(target=make_once, args=(file, make, progress))
    first.start()
    assert inside.wait(10)
    second.start()
    assert waiting.wait(10)
    go_on.set()
    first.join(10)
    second.join(10)
    assert len(made) == 1
    assert heard == ["m.gguf: waiting for another process that is making it"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"^MILEPOST_CACHE_DIR: .* cannot be written: .*; allowed: ") as caught:
        make_once(CachedFile(tmp_path / "file" / "m.gguf", "recipe"), write("x"))
    assert "\n" not in str(caught.value)


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("MILEPOST_CACHE_DIR")
    assert default_cache_dir() == Path.home() / ".cache" / "milepost"
