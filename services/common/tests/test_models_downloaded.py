"""Sources by URL and of a hub: fetched once for everybody, verified, and used from the cache ever after."""

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from download_server import DownloadServer, cut_after, hold_after, hub_answer, status

from milepost_crds import LlamaCpp, ModelSource
from milepost_service.errors import ConfigurationError
from milepost_service.models import ensure_model, find_model
from milepost_service.models.__main__ import main
from milepost_service.models.downloads.credentials import Credentials

pytestmark = pytest.mark.requirement("CRD-2")

DATA = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + bytes(300_000)
PATIENCE = 60.0
REPOSITORY = {"repo": "example/small", "file": "q8/m.gguf"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    """A server of files that is the hub, too."""
    started = DownloadServer(DATA)
    monkeypatch.setenv("HF_ENDPOINT", started.origin + "/")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("MILEPOST_MODEL_TOKEN_FILE", raising=False)
    yield started
    started.close()


def by_url(server: DownloadServer, **more: Any) -> ModelSource:
    return ModelSource.model_validate({"url": f"{server.origin}/models/m%20x.gguf", "sha256": server.digest} | more)


def at_hub(**more: Any) -> ModelSource:
    return ModelSource.model_validate({"huggingFace": REPOSITORY} | more)


def ensured(source: ModelSource, cache: Path) -> Path:
    return ensure_model(LlamaCpp(source=source), cache)


def refusal(source: ModelSource, cache: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        ensured(source, cache)
    assert "\n" not in str(caught.value)
    assert "; allowed: " in str(caught.value)
    return str(caught.value)


def test_a_url_is_fetched_once_and_then_used_without_its_server(server: DownloadServer, tmp_path: Path) -> None:
    source = by_url(server)
    path = ensured(source, tmp_path)
    assert path.name == f"m-x-{server.digest[:12]}.gguf"
    assert path.read_bytes() == DATA
    assert [each.name for each in tmp_path.glob(".*")] == [f".{path.name}.lock"]
    assert ensured(source, tmp_path) == find_model(source, "here", cache_dir=tmp_path) == path
    assert len(server.seen) == 1


def test_a_cached_file_that_was_damaged_is_fetched_anew(server: DownloadServer, tmp_path: Path) -> None:
    path = ensured(by_url(server), tmp_path)
    path.write_bytes(DATA[:-1] + b"x")
    assert ensured(by_url(server), tmp_path).read_bytes() == DATA
    assert len(server.gets) == 2


def test_what_is_no_gguf_is_refused(server: DownloadServer, tmp_path: Path) -> None:
    server.offer.data = b"<html>" * 100
    assert "is not a GGUF file" in refusal(by_url(server), tmp_path)


@pytest.mark.parametrize("source", [by_url, lambda server: at_hub()], ids=["url", "hub"])
def test_an_installation_that_cannot_fetch_says_so(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert "Python package httpx is missing; allowed: " in refusal(source(server), tmp_path)


def test_a_file_of_a_hub_is_that_of_its_commit_and_its_checksum(server: DownloadServer, tmp_path: Path) -> None:
    server.heads.append(hub_answer(server.digest, len(DATA), commit="c" * 40))
    path = ensured(at_hub(), tmp_path)
    assert path.name == f"m-{server.digest[:12]}.gguf"
    assert path.read_bytes() == DATA
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("HEAD", "/example/small/resolve/main/q8/m.gguf"),
        ("GET", f"/example/small/resolve/{'c' * 40}/q8/m.gguf"),
    ]
    assert ensured(at_hub(), tmp_path) == path
    assert len(server.seen) == 2
    server.heads.append(hub_answer(server.digest, len(DATA)))
    assert ensured(at_hub(huggingFace=REPOSITORY | {"revision": "pr/7"}), tmp_path) == path
    assert server.seen[2].path == "/example/small/resolve/pr%2F7/q8/m.gguf"
    assert len(server.gets) == 1


def test_a_renamed_repository_is_followed_within_its_hub(server: DownloadServer, tmp_path: Path) -> None:
    server.heads.extend([status(307, Location="/new/name/m.gguf"), hub_answer(server.digest, len(DATA))])
    assert ensured(at_hub(), tmp_path).read_bytes() == DATA
    server.heads.append(status(307, Location="http://elsewhere.example/m.gguf"))
    assert "leads away from its hub" in refusal(at_hub(), tmp_path / "other")
    server.heads.extend([status(307, Location="/again")] * 9)
    assert "redirects too often" in refusal(at_hub(), tmp_path / "other")


def test_bytes_that_are_not_those_of_the_hub_are_refused(server: DownloadServer, tmp_path: Path) -> None:
    server.heads.append(hub_answer("0" * 64, len(DATA)))
    line = refusal(at_hub(), tmp_path)
    assert line.startswith("llamaCpp.source.sha256: ")
    assert line.endswith(f"has {len(DATA)} bytes with sha256 {server.digest}; allowed: {'0' * 64}")
    assert not list(tmp_path.glob("*.gguf"))


def test_a_revision_that_is_not_what_the_spec_says_is_not_even_fetched(server: DownloadServer, tmp_path: Path) -> None:
    server.heads.append(hub_answer(server.digest, len(DATA)))
    line = refusal(at_hub(sha256="1" * 64), tmp_path)
    assert f"has sha256 {server.digest} by its hub; allowed: {'1' * 64}" in line
    assert server.gets == []


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (status(404, X_Error_Code="EntryNotFound"), "answers 404 Not Found; allowed: "),
        (status(401), "answers 401 Unauthorized; allowed: a Secret in secretRef"),
        (status(200, ETag='"0123456789abcdef0123456789abcdef01234567"'), "has no SHA-256 by its hub"),
        (status(302, Location="http://elsewhere.example/m.gguf"), "leads away from its hub"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(server: DownloadServer, tmp_path: Path, answer: Any, line: str) -> None:
    server.heads.append(answer)
    assert line in refusal(at_hub(), tmp_path)
    assert server.gets == []


def test_the_token_of_a_secret_goes_to_hub_and_url(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, named = tmp_path / "token", {"secretRef": {"name": "models", "key": "token"}}
    secret.write_text("of-the-secret\n")
    monkeypatch.setenv("MILEPOST_MODEL_TOKEN_FILE", str(secret))
    ensured(by_url(server, **named), tmp_path / "a")
    ensured(by_url(server), tmp_path / "b")
    server.heads.append(hub_answer(server.digest, len(DATA)))
    ensured(at_hub(**named), tmp_path / "c")
    told = [seen.headers.get("authorization") for seen in server.seen]
    assert told == ["Bearer of-the-secret", None, *["Bearer of-the-secret"] * 2]


def test_the_token_of_the_hubs_own_tools_goes_to_the_hub_alone(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "of-the-hub")
    server.heads.append(hub_answer(server.digest, len(DATA)))
    ensured(by_url(server), tmp_path / "a")
    ensured(at_hub(), tmp_path / "b")
    assert [seen.headers.get("authorization") for seen in server.seen] == [None, *["Bearer of-the-hub"] * 2]


def test_a_folder_stands_for_a_secret_where_there_are_none(
    server: DownloadServer, manifest: Path, tmp_path: Path
) -> None:
    manifest.write_text(manifest.read_text().replace("source: {", "source: {secretRef: {name: hub, key: token}, "))
    (tmp_path / "token").write_text("of-the-folder")
    told = ["prepare", "--cache", str(tmp_path / "cache"), f"--secret=hub={tmp_path}", str(manifest)]
    assert main(told) == 0
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer of-the-folder"]
    assert main([*told[:2], str(tmp_path / "other"), str(manifest)]) == 2
    assert len(server.seen) == 1


@pytest.mark.parametrize("content", [None, b"", b"two words", b"line\nbreak", b"\xff\xfe"])
def test_a_secret_without_a_token_is_one_line_that_does_not_show_it(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    source = by_url(server, secretRef={"name": "models"})
    assert "no token is here; allowed: a file with it, named by MILEPOST_MODEL_TOKEN_FILE" in refusal(source, tmp_path)
    monkeypatch.setenv("MILEPOST_MODEL_TOKEN_FILE", str(tmp_path / "token"))
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    line = refusal(source, tmp_path)
    assert line.startswith("MILEPOST_MODEL_TOKEN_FILE: ")
    assert "words" not in line
    assert server.seen == []


def test_a_hub_that_is_no_url_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^HF_ENDPOINT: 'hub' is no URL; allowed: "):
        Credentials.of_environment({"HF_ENDPOINT": "hub"})
    assert Credentials.of_environment({"HF_ENDPOINT": ""}).hub.startswith("https://")


class Prepare:
    """`python -m milepost_service.models prepare` as a process."""

    def __init__(self, manifest: Path, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        command = [sys.executable, "-m", "milepost_service.models", "prepare", "--cache", str(folder / "cache")]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen([*command, str(manifest)], stdout=output, stderr=subprocess.STDOUT)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def end(self) -> str:
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()
        return self.log.read_text().splitlines()[-1]


@pytest.fixture
def manifest(server: DownloadServer, tmp_path: Path) -> Path:
    file = tmp_path / "service.yaml"
    file.write_text(
        "apiVersion: milepost.dev/v1alpha1\nkind: ModelService\nmetadata: {name: mine}\nspec:\n"
        "  capabilities: [general]\n"
        f"  llamaCpp: {{source: {{url: '{server.origin}/m.gguf', sha256: {server.digest}}}}}\n"
    )
    return file


def until(happened: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def part_size(folder: Path) -> int:
    return max((part.stat().st_size for part in (folder / "cache").glob(".*.part")), default=0)


def test_of_two_processes_one_fetches_and_the_other_waits(
    server: DownloadServer, manifest: Path, tmp_path: Path
) -> None:
    server.script.append(hold_after(150_000))
    first = Prepare(manifest, tmp_path, "first")
    assert server.holding.wait(PATIENCE)
    second = Prepare(manifest, tmp_path, "second")
    until(lambda: second.said("waiting for another process that is making it"))
    until(lambda: second.said("fetched by another process"))
    server.released.set()
    assert first.end() == second.end() == f"ready: {tmp_path}/cache/m-{server.digest[:12]}.gguf"
    assert len(server.gets) == 1


def test_after_a_kill_the_one_who_waits_goes_on_where_it_broke(
    server: DownloadServer, manifest: Path, tmp_path: Path
) -> None:
    server.script.append(hold_after(150_000))
    first = Prepare(manifest, tmp_path, "first")
    until(lambda: part_size(tmp_path) > 0)
    second = Prepare(manifest, tmp_path, "second")
    until(lambda: second.said("waiting for another process that is making it"))
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(PATIENCE)
    server.released.set()
    second.end()
    assert len(server.gets) == 2
    assert int(server.gets[1].headers["range"].removeprefix("bytes=").removesuffix("-")) > 0


def test_a_download_that_was_killed_is_gone_on_with_at_the_next_start(
    server: DownloadServer, manifest: Path, tmp_path: Path
) -> None:
    server.script.extend([cut_after(100_000), hold_after(100_000)])
    first = Prepare(manifest, tmp_path, "first")
    until(lambda: part_size(tmp_path) > 100_000)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(PATIENCE)
    assert not list((tmp_path / "cache").glob("*.gguf"))
    server.released.set()
    assert Prepare(manifest, tmp_path, "second").end().startswith("ready: ")
    assert [seen.headers.get("range", "")[:9] for seen in server.gets[:2]] == ["", "bytes=100"]
    assert int(server.gets[2].headers["range"].removeprefix("bytes=").removesuffix("-")) > 100_000


def test_a_full_disk_is_one_line_and_the_rest_comes_once_there_is_room(
    server: DownloadServer, manifest: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(cache)]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    try:
        refused = Prepare(manifest, tmp_path, "refused")
        assert refused.process.wait(PATIENCE) == 2
        assert "has 128.0 KiB free" in refused.log.read_text().replace("124.0", "128.0")
        assert "allowed: more room (in a cluster llamaCpp.cache.size)" in refused.log.read_text()
        subprocess.run(["mount", "-o", "remount,size=4m", str(cache)], check=True)
        assert Prepare(manifest, tmp_path, "roomy").end().startswith("ready: ")
    finally:
        subprocess.run(["umount", str(cache)], check=True)
