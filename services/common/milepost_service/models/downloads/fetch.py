"""A whole, verified file, however often its download breaks."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from milepost_service.errors import ConfigurationError
from milepost_service.models.checksum import sha256_of
from milepost_service.models.downloads.attempt import attempt, client_for
from milepost_service.models.downloads.errors import Interrupted
from milepost_service.models.downloads.part import PartFile
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.downloads.remote_file import RemoteFile
from milepost_service.models.progress import Progress, Transfer, Watch, readable, unheard, unwatched

T = TypeVar("T")
Sleep = Callable[[float], None]


def fetch(
    file: RemoteFile,
    path: Path,
    *,
    name: str,
    say: Progress = unheard,
    watch: Watch = unwatched,
    patience: Patience | None = None,
    sleep: Sleep = time.sleep,
) -> None:
    """Writes the file to `path`, going on with what lies there, until it has its SHA-256.

    Only one process at a time may do so. `name` is what `say` and `watch` call it. A file that was put together from
    several answers and is wrong is fetched anew. Raises ConfigurationError for a wrong checksum, a full disk, answers
    that no other attempt will change, and a server that brings nothing new for `patience.attempts` attempts.
    """
    patience = patience or Patience()
    part = PartFile(path)
    with client_for(patience) as client:
        for restarts_left in reversed(range(patience.restarts + 1)):
            persist(
                lambda: attempt(client, file, part, patience, _Meter(name, watch).arrived),
                say=lambda line: say(f"{name}: {line}"),
                subject=f"{file.where}: {file.shown}",
                patience=patience,
                sleep=sleep,
                have=lambda: part.size,
            )
            say(f"{name}: verifying {readable(part.size)}")
            found = sha256_of(path)
            if found == file.sha256:
                part.forget_notes()
                return
            size, in_pieces = part.size, part.pieces > 1
            part.discard()
            if not in_pieces or not restarts_left:
                break
            say(f"{name}: the pieces are not of one file; fetching it anew")
    raise ConfigurationError(
        f"{file.where}.sha256: {file.shown} has {size} bytes with sha256 {found}; allowed: {file.sha256}"
    )


def persist(
    work: Callable[[], T],
    *,
    say: Progress,
    subject: str,
    patience: Patience,
    sleep: Sleep = time.sleep,
    have: Callable[[], int] = lambda: 0,
) -> T:
    """What `work` returns, called again with growing pauses for as long as it is Interrupted.

    Raises ConfigurationError when it was so `patience.attempts` times while `have` grew no more.
    """
    failures, most = 0, have()
    while True:
        try:
            return work()
        except Interrupted as error:
            failures = 1 if have() > most else failures + 1
            most = max(most, have())
            if failures >= patience.attempts:
                raise ConfigurationError(
                    f"{subject} cannot be fetched: {error} ({failures} attempts, {readable(most)} are there); "
                    "allowed: a server that can be reached"
                ) from None
            pause = patience.pause(failures, error.after)
            say(f"{error}; trying again in {pause:.0f} s, {readable(have())} are there")
            sleep(pause)


class _Meter:
    """Tells how far one attempt is, a few times a second."""

    _INTERVAL_SECONDS = 0.25

    def __init__(self, name: str, watch: Watch) -> None:
        self._name = name
        self._watch = watch
        self._began: float | None = None
        self._told = 0.0
        self._first = 0

    def arrived(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began, self._first = now, done
        elif now - self._told < self._INTERVAL_SECONDS and done < total:
            return
        self._told = now
        elapsed = now - self._began
        rate = (done - self._first) / elapsed if elapsed > self._INTERVAL_SECONDS else 0.0
        self._watch(Transfer(self._name, done, total, rate))
