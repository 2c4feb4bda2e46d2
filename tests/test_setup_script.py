"""Set-up, with a real pip and real processes but without its long steps."""

import json
import sys
from pathlib import Path

import pytest

import llama_wheel
import setup
from console import ToolError
from pip_runner import Pip


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements-llama.lock"
    path.write_text("llama-cpp-python==0.0.1\n")
    return path


def test_a_wheel_of_other_flags_or_another_version_is_never_taken(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    folders = [llama_wheel.wheel_folder(tmp_path, lock)]
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=ON")
    folders.append(llama_wheel.wheel_folder(tmp_path, lock))
    lock.write_text("llama-cpp-python==0.0.2\n")
    folders.append(llama_wheel.wheel_folder(tmp_path, lock))
    assert len(set(folders)) == 3


def test_a_wheel_in_the_cache_is_taken_as_it_is(tmp_path: Path, lock: Path) -> None:
    folder = llama_wheel.wheel_folder(tmp_path, lock)
    folder.mkdir(parents=True)
    (folder / "llama_cpp_python-0.0.1-py3-none-any.whl").write_text("compiled")
    found = llama_wheel.ensure_wheel(tmp_path, lock, lock, tmp_path / "log")
    assert found.read_text() == "compiled"


def test_without_a_compiler_one_line_says_what_to_install(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match=r"^llama-cpp-python: no C\+\+ compiler on the PATH\. .*apt-get install g\+\+"):
        llama_wheel.ensure_wheel(tmp_path, lock, lock, tmp_path / "log")


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, lock: Path) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(ToolError, match=r"^MILEPOST_CACHE_DIR: .*cache"):
        llama_wheel.ensure_wheel(tmp_path / "cache", lock, lock, tmp_path / "log")


def test_a_package_that_cannot_be_had_is_one_line_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "setup.log"
    with pytest.raises(ToolError, match="the package index does not answer") as caught:
        Pip(Path(sys.executable), log)("install", "--no-index", "--target", str(tmp_path), "no-such-package==1")
    assert str(caught.value).count("\n") == 0
    assert "no-such-package" in log.read_text()


def test_an_interrupted_set_up_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "REMEMBERED", tmp_path / "milepost-setup.json")
    done: list[str] = []

    def steps(interrupted: bool) -> bool:
        this = setup.SetUp()
        if setup.REMEMBERED.exists():
            this.remembered = json.loads(setup.REMEMBERED.read_text())["steps"]
        this.step("first", lambda: "key", lambda: done.append("first"))
        if not interrupted:
            this.step("second", lambda: "key", lambda: done.append("second"))
        return this.worked

    assert steps(interrupted=True)
    assert steps(interrupted=False)
    assert not steps(interrupted=False)
    assert done == ["first", "second"]
