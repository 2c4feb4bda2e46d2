"""A download ends with the file that was asked for, or with one line; whatever the server does."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from download_server import (
    Behaviour,
    DownloadServer,
    changed,
    cut_after,
    declaring,
    stall_after,
    status,
    trickle,
    unsized,
    whole,
    without_ranges,
)

from milepost_service.errors import ConfigurationError
from milepost_service.models.downloads.fetch import fetch
from milepost_service.models.downloads.part import PartFile
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.downloads.remote_file import RemoteFile
from milepost_service.models.progress import Transfer

pytestmark = pytest.mark.requirement("CRD-2")

DATA = random.Random(7).randbytes(400_000)
OTHER = random.Random(8).randbytes(400_000)
IMPATIENT = Patience(stall_seconds=0.5, attempts=60)
"""Attempts enough for a machine on which the server itself is late."""


@pytest.fixture
def server() -> Iterator[DownloadServer]:
    started = DownloadServer(DATA)
    yield started
    started.close()


class Download:
    """What became of one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self.transfers: list[Transfer] = []
        self.pauses: list[float] = []

    def run(self, server: DownloadServer, patience: Patience | None = None, **more: Any) -> None:
        file = RemoteFile(**{"url": f"{server.origin}/m.gguf", "sha256": server.digest, "where": "source"} | more)
        fetch(
            file,
            self.path,
            name="m.gguf",
            say=self.said.append,
            watch=self.transfers.append,
            patience=patience or Patience(),
            sleep=self.pauses.append,
        )

    def refusal(self, server: DownloadServer, patience: Patience | None = None, **more: Any) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.run(server, patience, **more)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(("source", "MILEPOST_CACHE_DIR"))
        assert "; allowed: " in str(caught.value)
        return str(caught.value)


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path / "part")


def test_a_file_comes_whole_and_its_progress_is_told(server: DownloadServer, download: Download) -> None:
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert [each.name for each in download.path.parent.iterdir()] == ["part"]
    assert (download.transfers[0].done, download.transfers[-1].done) == (0, len(DATA))
    assert {each.total for each in download.transfers} == {len(DATA)}
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert "range" not in server.seen[0].headers


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', ""])
def test_a_broken_download_goes_on_where_it_broke(server: DownloadServer, download: Download, etag: str) -> None:
    server.offer.etag = etag
    server.script.extend([cut_after(150_000), status(503, Retry_After="7"), cut_after(100_000)])
    download.run(server)
    assert download.path.read_bytes() == DATA
    ranges = [seen.headers.get("range") for seen in server.gets]
    assert ranges == [None, "bytes=150000-", "bytes=150000-", "bytes=250000-"]
    strong = etag if etag.startswith('"') else None
    assert [seen.headers.get("if-range") for seen in server.gets] == [None, *[strong] * 3]
    assert download.pauses == [1.0, 7.0, 1.0]
    assert any("503 Service Unavailable; trying again in 7 s, 146.5 KiB are there" in line for line in download.said)


def test_a_server_that_ignores_ranges_is_asked_for_all_of_it_again(server: DownloadServer, download: Download) -> None:
    server.script.extend([cut_after(150_000), without_ranges])
    download.run(server)
    assert download.path.read_bytes() == DATA


def test_a_file_that_was_changed_between_two_attempts_is_fetched_anew(
    server: DownloadServer, download: Download
) -> None:
    server.offer.data, digest = OTHER, server.digest
    server.script.extend([cut_after(150_000), changed(DATA)])
    download.run(server, sha256=digest)
    assert download.path.read_bytes() == DATA
    assert len(server.gets) == 2


@pytest.mark.parametrize("etag", ["", '"same"'])
def test_pieces_of_two_files_are_thrown_away(server: DownloadServer, download: Download, etag: str) -> None:
    digest = server.digest
    server.offer.data, server.offer.etag = OTHER, etag
    server.script.extend([cut_after(150_000), changed(DATA, etag)])
    download.run(server, sha256=digest)
    assert download.path.read_bytes() == DATA
    assert [seen.headers.get("range") for seen in server.gets] == [None, "bytes=150000-", None]
    assert "m.gguf: the pieces are not of one file; fetching it anew" in download.said


@pytest.mark.parametrize("length", [399_000, 500_000])
def test_the_rest_of_a_file_of_another_length_is_not_appended(
    server: DownloadServer, download: Download, length: int
) -> None:
    server.offer.etag = ""

    def shifted(answer: Any) -> None:
        rest = {"Content-Range": f"bytes 150000-{length - 1}/{length}", "Content-Length": str(length - 150_000)}
        answer.begin(206, rest)
        answer.close_connection = True

    server.script.extend([cut_after(150_000), shifted])
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert [seen.headers.get("range") for seen in server.gets] == [None, "bytes=150000-", None]


def test_another_part_than_was_asked_for_is_not_appended(server: DownloadServer, download: Download) -> None:
    def earlier(answer: Any) -> None:
        rest = {"Content-Range": f"bytes 100000-399999/{len(DATA)}", "Content-Length": "300000"}
        answer.begin(206, rest)
        answer.send(DATA[100_000:])

    server.script.extend([cut_after(150_000), earlier])
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert (
        download.said[1]
        == "m.gguf: the rest is not that of the file that began; trying again in 2 s, 0 bytes are there"
    )


def test_a_file_that_is_wrong_as_a_whole_is_fetched_once(server: DownloadServer, download: Download) -> None:
    assert "has 400000 bytes with sha256" in download.refusal(server, sha256="0" * 64)
    assert len(server.gets) == 1
    assert not download.path.exists()


def test_pieces_that_never_fit_are_given_up(server: DownloadServer, download: Download) -> None:
    server.script.extend([cut_after(150_000), whole] * 9)
    assert "has 400000 bytes with sha256" in download.refusal(server, Patience(restarts=2), sha256="0" * 64)
    assert len(server.gets) == 6
    assert download.said.count("m.gguf: the pieces are not of one file; fetching it anew") == 2


def test_what_came_from_another_url_is_of_no_version_of_this_one(server: DownloadServer, download: Download) -> None:
    server.script.append(status(404))
    with PartFile(download.path).begin(f"{server.origin}/old", validator='"1"', total=len(DATA)) as file:
        file.write(DATA[:1000])
    download.refusal(server)
    assert server.gets[0].headers["range"] == "bytes=1000-"
    assert "if-range" not in server.gets[0].headers


@pytest.mark.parametrize("behaviour", [stall_after(150_000), trickle(150_000)], ids=["nothing", "a byte now and then"])
def test_a_stalled_download_times_out_and_goes_on(
    server: DownloadServer, download: Download, behaviour: Behaviour
) -> None:
    server.script.append(behaviour)
    download.run(server, IMPATIENT)
    assert download.path.read_bytes() == DATA
    assert any("m.gguf: stalled; trying again in 1 s" in line for line in download.said)
    assert any("range" in seen.headers for seen in server.gets)


def test_a_server_that_brings_nothing_new_is_given_up_with_growing_pauses(
    server: DownloadServer, download: Download
) -> None:
    server.script.extend([cut_after(1000), *[cut_after(0)] * 4])
    line = download.refusal(server, Patience(attempts=4))
    assert "(4 attempts, 1000 bytes are there)" in line
    assert download.pauses == [1, 2, 4]
    assert download.path.stat().st_size == 1000


def test_an_attempt_after_a_refusal_goes_on_too(server: DownloadServer, download: Download) -> None:
    server.script.extend([cut_after(1000), *[cut_after(0)] * 3])
    download.refusal(server, Patience(attempts=4))
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert server.gets[-1].headers["range"] == "bytes=1000-"


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server: DownloadServer, download: Download) -> None:
    def breaks(answer: Any) -> None:
        del answer.headers["Range"]
        cut_after(1000)(answer)

    server.script.extend([breaks] * 4)
    assert "cannot be fetched" in download.refusal(server, Patience(attempts=3))
    assert len(server.gets) == 3


@pytest.mark.parametrize(
    ("behaviour", "line"),
    [
        (declaring(100_000), "has 100000 bytes with sha256"),
        (declaring(500_000), "cannot be fetched: "),
        (changed(OTHER), "has 400000 bytes with sha256"),
        (unsized, "does not say how long it is"),
        (status(404), "answers 404 Not Found; allowed: the URL of a file that is there"),
        (status(401), "answers 401 Unauthorized; allowed: a Secret in secretRef"),
        (status(204), "answers 204 No Content"),
        (status(302, Location="ftp://127.0.0.1/m.gguf"), "leads to no URL that can be fetched"),
        (status(302, Location="file:///etc/passwd"), "leads to no URL that can be fetched"),
        (status(200, Content_Encoding="gzip"), "is sent as gzip"),
    ],
    ids=["too short", "too long", "checksum", "no length", "404", "401", "204", "ftp", "file", "gzip"],
)
def test_what_cannot_be_had_is_one_line(
    server: DownloadServer, download: Download, behaviour: Behaviour, line: str
) -> None:
    digest = server.digest
    server.script.extend([behaviour] * 9)
    assert line in download.refusal(server, Patience(attempts=3), sha256=digest)
    assert not (download.path.exists() and download.path.stat().st_size > len(DATA))


def test_a_redirect_is_followed_and_a_loop_is_not(server: DownloadServer, download: Download) -> None:
    server.script.append(status(302, Location="/elsewhere.gguf"))
    download.run(server)
    assert [seen.path for seen in server.gets] == ["/m.gguf", "/elsewhere.gguf"]
    server.script.extend([status(302, Location="/m.gguf")] * 9)
    download.path.unlink()
    assert "redirects too often; allowed: " in download.refusal(server)
    assert len(server.gets) == 2 + 6


def test_a_token_is_sent_to_the_host_of_the_url_alone(server: DownloadServer, download: Download) -> None:
    elsewhere = DownloadServer(DATA)
    try:
        server.script.extend([status(302, Location="/here"), status(307, Location=f"{elsewhere.origin}/there")] * 2)
        elsewhere.script.append(cut_after(100_000))
        download.run(server, token="s3cret")
    finally:
        elsewhere.close()
    assert {seen.headers.get("authorization") for seen in server.gets} == {"Bearer s3cret"}
    assert [seen.headers.get("authorization") for seen in elsewhere.gets] == [None, None]
    assert elsewhere.gets[1].headers["range"] == "bytes=100000-"
    assert "s3cret" not in " ".join(download.said)


def test_a_signature_in_a_url_is_shown_to_nobody(server: DownloadServer, download: Download) -> None:
    server.script.extend([status(500), status(404)])
    line = download.refusal(server, url=f"{server.origin}/m.gguf?signature=s3cret")
    assert server.gets[0].path == "/m.gguf?signature=s3cret"
    assert "s3cret" not in line + " ".join(download.said)


def test_the_announced_size_binds_the_server(server: DownloadServer, download: Download) -> None:
    assert "is said to have 400000 bytes; allowed: the 7 that" in download.refusal(server, size=7)
    assert not download.path.exists()
    server.script.append(unsized)
    download.run(server, size=len(DATA))
    assert download.path.read_bytes() == DATA


def test_a_file_larger_than_the_free_disk_is_refused_before_its_first_byte(
    server: DownloadServer, download: Download, tmp_path: Path
) -> None:
    server.script.append(declaring(2**60))
    line = download.refusal(server)
    assert line.startswith(f"MILEPOST_CACHE_DIR: {tmp_path} has ")
    assert "needs 1048576.0 TiB; allowed: more room (in a cluster llamaCpp.cache.size)" in line
    assert not download.path.exists()


def test_a_part_that_is_whole_is_verified_without_being_asked_for(server: DownloadServer, download: Download) -> None:
    part = PartFile(download.path)
    with part.begin("anywhere", validator="", total=len(DATA)) as file:
        file.write(DATA)
    download.run(server)
    assert server.seen == []
    assert download.path.read_bytes() == DATA


def test_a_part_longer_than_the_file_is_thrown_away(server: DownloadServer, download: Download) -> None:
    download.path.write_bytes(DATA + b"more")
    server.script.append(status(416, Content_Range=f"bytes */{len(DATA)}"))
    download.run(server)
    assert download.path.read_bytes() == DATA


@pytest.mark.parametrize("notes", ["", "{", "[]", '{"total": "x", "pieces": null}'])
def test_a_part_whose_notes_are_lost_is_gone_on_with(server: DownloadServer, download: Download, notes: str) -> None:
    download.path.write_bytes(DATA[:1000])
    download.path.with_name("part.json").write_text(notes)
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert [seen.headers.get("range") for seen in server.gets] == ["bytes=1000-"]


def test_a_damaged_part_costs_one_more_download(server: DownloadServer, download: Download) -> None:
    download.path.write_bytes(bytes(1000))
    download.run(server)
    assert download.path.read_bytes() == DATA
    assert len(server.gets) == 2


@pytest.mark.parametrize(
    ("transfer", "text"),
    [
        (Transfer("m", 0, 5 * 2**30), "m: downloading, 0 % of 5.0 GiB"),
        (Transfer("m", 2**20, 4 * 2**20, 1024 * 100), "m: downloading, 25 % of 4.0 MiB, 100.0 KiB/s, 31 s left"),
        (Transfer("m", 0, 2**40, 2**27), "m: downloading, 0 % of 1.0 TiB, 128.0 MiB/s, 2.3 h left"),
        (Transfer("m", 9, 10, by_another=True), "m: downloading, 90 % of 10 bytes, fetched by another process"),
        (Transfer("m", 0, 0), "m: downloading, 100 % of 0 bytes"),
    ],
)
def test_progress_reads_well(transfer: Transfer, text: str) -> None:
    assert str(transfer) == text
