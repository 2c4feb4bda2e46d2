"""One request for a file, or for the rest of it."""

import errno
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import httpx

from milepost_service.errors import ConfigurationError
from milepost_service.models.downloads.errors import Interrupted, require_success, told
from milepost_service.models.downloads.part import PartFile
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.downloads.remote_file import RemoteFile
from milepost_service.models.progress import readable

MOST_REDIRECTS = 5
Arrived = Callable[[int, int], None]
"""Told the bytes that are there, and how many they will be."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def client_for(patience: Patience) -> httpx.Client:
    """A client for one download. It follows a few redirects, and takes no token along to another host."""
    # Proxies are those of the environment; a .netrc is not read, so that no credentials come from there.
    return httpx.Client(
        timeout=httpx.Timeout(patience.stall_seconds, connect=patience.connect_seconds),
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
    )


def attempt(client: httpx.Client, file: RemoteFile, part: PartFile, patience: Patience, arrived: Arrived) -> None:
    """Brings what is missing of the file; afterwards as many bytes are there as were declared.

    Raises Interrupted when another attempt may bring the rest, ConfigurationError when none can.
    """
    offset = part.size
    if offset and offset == (file.size or part.total):
        return
    with (
        told(file.url, file.where),
        client.stream("GET", file.url, headers=_headers(file, part, offset)) as response,
    ):
        if offset and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.discard()
            raise Interrupted("the file has changed")
        require_success(response, file.url, file.where)
        offset, total = _extent(response, file, part, offset)
        with _room(part), _opened(response, file, part, offset, total) as target:
            _write(_steady(response, patience), target, offset, total, arrived)
    if part.size != total:
        raise Interrupted(f"ended after {part.size} of {total} bytes")


def _headers(file: RemoteFile, part: PartFile, offset: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if file.token:
        headers["Authorization"] = f"Bearer {file.token}"
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator := part.validator(file.url):
            headers["If-Range"] = validator
    return headers


def _extent(response: httpx.Response, file: RemoteFile, part: PartFile, offset: int) -> tuple[int, int]:
    """Where the answer begins in the file, and how long the whole file is."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise ConfigurationError(f"{file.where}: {file.shown} is sent as {encoding}; allowed: the bytes as they are")
    if response.status_code == httpx.codes.OK:
        declared = response.headers.get("content-length", "")
        return 0, _total(int(declared) if declared.isdigit() else None, file)
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    total = int(found[3]) if found is not None and found[3] != "*" else part.total
    if found is None or int(found[1]) != offset or (part.total is not None and total != part.total):
        part.discard()
        raise Interrupted("the rest is not that of the file that began")
    return offset, _total(total, file)


def _total(declared: int | None, file: RemoteFile) -> int:
    if declared is None and file.size is None:
        raise ConfigurationError(
            f"{file.where}: {file.shown} does not say how long it is; allowed: a server that sends Content-Length"
        )
    if declared is not None and file.size is not None and declared != file.size:
        raise ConfigurationError(
            f"{file.where}: {file.shown} is said to have {declared} bytes; allowed: the {file.size} that were announced"
        )
    return declared if declared is not None else int(file.size or 0)


def _opened(response: httpx.Response, file: RemoteFile, part: PartFile, offset: int, total: int) -> BinaryIO:
    if not offset:
        part.discard()
    free = shutil.disk_usage(part.path.parent).free
    if total - offset > free:
        raise ConfigurationError(
            f"MILEPOST_CACHE_DIR: {part.path.parent} has {readable(free)} free, and {file.shown} needs "
            f"{readable(total - offset)}; allowed: more room (in a cluster llamaCpp.cache.size)"
        )
    if offset:
        return part.go_on(total=total)
    return part.begin(file.url, validator=_validator(response), total=total)


def _validator(response: httpx.Response) -> str:
    """What tells versions apart for If-Range: a strong ETag, else when the file was changed."""
    etag = response.headers.get("etag", "")
    return str(etag if etag.startswith('"') else response.headers.get("last-modified", ""))


def _steady(response: httpx.Response, patience: Patience) -> Iterator[bytes]:
    """The bytes as they come. Raises Interrupted when for a while hardly any do; none at all is httpx's to notice."""
    since, few = time.monotonic(), 0
    for chunk in response.iter_raw():
        yield chunk
        few += len(chunk)
        now = time.monotonic()
        if few >= patience.stall_bytes:
            since, few = now, 0
        elif now - since > patience.stall_seconds:
            raise Interrupted("stalled")


def _write(chunks: Iterator[bytes], target: BinaryIO, done: int, total: int, arrived: Arrived) -> None:
    arrived(done, total)
    for chunk in chunks:
        done += len(chunk)
        if done > total:
            raise Interrupted(f"more than the declared {total} bytes were sent")
        target.write(chunk)
        arrived(done, total)


@contextmanager
def _room(part: PartFile) -> Iterator[None]:
    """Inside, a disk that is full is said to be."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ConfigurationError(
            f"MILEPOST_CACHE_DIR: {part.path.parent} is full; allowed: more room (in a cluster llamaCpp.cache.size)"
        ) from error
