"""How far the journal is exported, in a small file beside the database: a restart goes on there."""

import contextlib
import json
import logging
from pathlib import Path

log = logging.getLogger(__name__)


class Cursor:
    """The sequence of the last event whose spans were taken or given up.

    It is not in the database, where each move would cost a commit, and which a restore sets back. It is not synced
    either: after a power cut some spans may be sent again, the same as before.
    """

    def __init__(self, database: Path, store_id: str) -> None:
        self._file = database.with_name(database.name + ".exported")
        self._store_id = store_id

    def load(self) -> int | None:
        """None where nothing is known of this store."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._file.read_text())
            if kept["store_id"] == self._store_id:
                return max(int(kept["sequence"]), 0)
        return None

    def save(self, sequence: int) -> None:
        """A disk that takes nothing costs spans sent twice, and no more."""
        partial = self._file.with_name(self._file.name + ".partial")
        try:
            partial.write_text(json.dumps({"store_id": self._store_id, "sequence": sequence}) + "\n")
            partial.replace(self._file)
        except OSError as error:
            log.debug("%s: %s", self._file, error)
