"""What is known of the file from outside of it: written beside the lock, so that the loss of the file can be told."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
RECORD_BYTES: Final = 480
MARK_BYTES: Final = 32
"""A mark has its own place, so that it can be written after every commit with one call and without a sync."""


@dataclass(frozen=True)
class Mark:
    """The newest numbers that were committed: of the journal and of the checkpoints."""

    events: int = 0
    checkpoints: int = 0

    def encode(self) -> bytes:
        return b"%015d %015d\n" % (self.events, self.checkpoints)

    @classmethod
    def decode(cls, content: bytes) -> "Mark":
        """A mark that cannot be read is the lowest one."""
        parts = content.split()
        if len(content) != MARK_BYTES or len(parts) != 2 or not all(part.isdigit() for part in parts):
            return cls()
        return cls(int(parts[0]), int(parts[1]))

    def exceeds(self, other: "Mark") -> bool:
        """Whether something was committed that `other` does not hold."""
        return self.events > other.events or self.checkpoints > other.checkpoints


@dataclass(frozen=True)
class Evidence:
    """What the last owner left. `clean`: it put everything into the database file before it let go.

    `full`: its commits survive a loss of power. `boot` names the time since which the machine has run; a mark of
    another one may be older than the file, because it is not synced.
    """

    store_id: str
    epoch: int
    clean: bool
    full: bool
    boot: str
    mark: Mark = Mark()
    suspect: bool = False
    """A damage was found while the file was in use: the next start checks all of it before it goes on."""

    def encode(self, holder: str) -> bytes:
        fields = {name: value for name, value in asdict(self).items() if name != "mark"}
        return f"{holder}\n{json.dumps(fields)}\n".ljust(RECORD_BYTES).encode() + self.mark.encode()

    @classmethod
    def decode(cls, content: bytes) -> "Evidence | None":
        """None when nothing was written or it cannot be read."""
        lines = content[:RECORD_BYTES].decode(errors="replace").splitlines()
        try:
            fields = json.loads(lines[1])
            mark = Mark.decode(content[RECORD_BYTES : RECORD_BYTES + MARK_BYTES])
            return cls(
                str(fields["store_id"]),
                int(fields["epoch"]),
                bool(fields["clean"]),
                bool(fields["full"]),
                str(fields["boot"]),
                mark,
                bool(fields.get("suspect", False)),
            )
        except (IndexError, ValueError, KeyError, TypeError):
            return None


def boot_id() -> str:
    """Names the time since which this machine has run; empty where the system does not tell."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
