"""The state directory of local mode: who owns it, where things lie in it, and what runs.

The lock is the only proof of life: the operating system drops it when its owner dies, however that
happens. `up.json` is what the owner tells other commands.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from milepost_cli.errors import AlreadyUpError, NotRunningError, StateError

DEFAULT_STATE = ".milepost"
LOCK_PATIENCE = 0.5  # seconds; a command that only looks holds the lock for well under a millisecond


@dataclass(frozen=True)
class ProcessRecord:
    """A child of the supervisor. `state`: starting, ready, not ready, restarting, failed or stopped."""

    role: str
    target: str
    state: str
    log: str
    pid: int | None = None
    restarts: int = 0
    http: str = ""
    """Where it answers OpenAI's API, if it does."""


@dataclass(frozen=True)
class UpRecord:
    """Content of `up.json`. `state`: preparing, starting, ready or stopping; `started` is seconds since the epoch.

    `ui` is the address of the web UI, empty when there is none.
    """

    pid: int
    started: float
    state: str
    workflows: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)
    ui: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> UpRecord:
        """Raises ValueError, KeyError or TypeError for anything that `to_json` did not write."""
        data: dict[str, Any] = json.loads(text)
        processes = {name: ProcessRecord(**record) for name, record in data.pop("processes").items()}
        return cls(**data, processes=processes)


@dataclass(frozen=True)
class StateDirectory:
    """`.milepost` or what `--state` names."""

    path: Path

    @property
    def is_default(self) -> bool:
        return self.path == Path(DEFAULT_STATE)

    @property
    def option(self) -> str:
        """What has to be added to a command so that it finds this directory: " --state DIR", or nothing."""
        return "" if self.is_default else f" --state {self.path}"

    @property
    def record_file(self) -> Path:
        return self.path / "up.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "up.lock"

    @property
    def token_file(self) -> Path:
        """The token of the gateway."""
        return self.path / "ui.token"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def home(self, role: str, name: str) -> Path:
        """Where one process keeps its files."""
        return self.path / ("agents" if role == "agent" else "services") / name

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the directory, made when it is not there. Raises AlreadyUpError, StateError when it cannot be written."""
        with self.writing():
            self.logs.mkdir(parents=True, exist_ok=True)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the operating system says about the directory into a StateError."""
        try:
            yield
        except OSError as error:
            what = error.strerror or str(error)
            at = error.filename or self.path
            raise StateError(f"{at}: {what}; allowed: a directory that can be written, named with --state") from error

    def _lock(self, handle: int) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                raise AlreadyUpError(self._taken()) from None
            except OSError as error:
                raise StateError(f"{self.lock_file}: cannot be locked: {error.strerror}") from error
            return

    def _taken(self) -> str:
        record = self.read()
        holder = f" (pid {record.pid})" if record else ""
        return (
            f"{self.path}: another `milepost up`{holder} runs on this state; "
            f"stop it with `milepost down --state {self.path}` or choose another directory with --state"
        )

    def is_owned(self) -> bool:
        """Whether a supervisor lives on this directory."""
        try:
            handle = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN)
        finally:
            os.close(handle)
        return False

    def write(self, record: UpRecord) -> None:
        """Replace `up.json` in one go."""
        part = self.path / ".up.json.part"
        with self.writing():
            part.write_text(record.to_json())
            part.replace(self.record_file)

    def read(self) -> UpRecord | None:
        """The last `up.json`, or None when there is none that can be read."""
        try:
            return UpRecord.from_json(self.record_file.read_text())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def clear(self) -> None:
        self.record_file.unlink(missing_ok=True)

    def running(self) -> UpRecord:
        """The record of the living supervisor. Raises NotRunningError."""
        record = self.read() if self.is_owned() else None
        if record is None:
            raise NotRunningError(
                f"no `milepost up` runs on the state directory {self.path}; "
                "start one with `milepost up FILES...`, or name its directory with --state"
            )
        return record
