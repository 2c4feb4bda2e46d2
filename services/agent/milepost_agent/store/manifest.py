"""The manifest of a backup: what its file must be, in JSON beside it."""

import json
import re
import time
from dataclasses import asdict, dataclass
from typing import Final, Literal

from milepost_agent.errors import BackupDamaged

Cause = Literal["schedule", "request", "migration", "upload"]
CAUSES: Final = ("schedule", "request", "migration", "upload")

_WHOLE: Final = frozenset({"size_bytes", "epoch", "last_sequence", "runs", "schema_version"})
_ID: Final = re.compile(r"(\d{8}T\d{6}Z)-(\d{1,18})")
_TIME: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Manifest:
    """`create_time` in seconds since the epoch; `runs` is how many there are; `sha256` is of the whole file, hex.

    `store_id` and `epoch` are of the owner that the copy was made of. `workflow` is empty when nobody knows it.
    """

    backup_id: str
    create_time: float
    size_bytes: int
    sha256: str
    cause: Cause
    workflow: str
    store_id: str
    epoch: int
    last_sequence: int
    runs: int
    schema_version: int
    sqlite_version: str

    @property
    def age_key(self) -> tuple[int, int, str]:
        """Grows from each backup to the next, whatever the clock does."""
        return self.epoch, self.last_sequence, self.backup_id

    def encode(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def decode(cls, text: str) -> "Manifest":
        """Raises BackupDamaged when a field is missing or of another kind."""
        try:
            fields = json.loads(text)
            values = {name: fields[name] for name in cls.__annotations__}
        except (ValueError, KeyError, TypeError) as error:
            raise BackupDamaged("the manifest cannot be read") from error
        for name, value in values.items():
            kinds = (int,) if name in _WHOLE else (int, float) if name == "create_time" else (str,)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise BackupDamaged(f"the manifest's {name} is of another kind")
        if not is_backup_id(values["backup_id"]) or values["cause"] not in CAUSES:
            raise BackupDamaged("the manifest's backup_id or cause is none")
        return cls(**values)


def make_backup_id(when: float, epoch: int) -> str:
    """UTC time to the second and epoch, for example "20261125T194500Z-7"."""
    return f"{time.strftime(_TIME, time.gmtime(when))}-{epoch}"


def is_backup_id(text: str) -> bool:
    match = _ID.fullmatch(text)
    if match is None:
        return False
    try:
        time.strptime(match[1], _TIME)
    except ValueError:
        return False
    return True
