"""What is there of a download that is not whole yet, and what may be added to it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO


class PartFile:
    """`PATH`, and beside it `PATH.json` with how it came about. Both survive the process at any moment.

    Only who holds the lock of the download may change it; others may look at its sizes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes_path = path.with_name(path.name + ".json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, as the server said."""
        total = self._notes().get("total")
        return total if isinstance(total, int) else None

    @property
    def pieces(self) -> int:
        """Answers that the bytes come from; of more than one they may not belong to each other."""
        pieces = self._notes().get("pieces")
        return pieces if isinstance(pieces, int) else 1

    def validator(self, url: str) -> str:
        """What `If-Range` asks for, so that the rest is of the same version; "" where it is not known for this URL."""
        notes = self._notes()
        return str(notes.get("validator", "")) if notes.get("url") == url else ""

    def begin(self, url: str, *, validator: str, total: int | None) -> BinaryIO:
        """The file, empty, to be written from its start."""
        self.path.unlink(missing_ok=True)
        self._write({"url": url, "validator": validator, "total": total, "pieces": 1})
        return self.path.open("wb")

    def go_on(self, *, total: int | None) -> BinaryIO:
        """The file, to be written from its end."""
        self._write({**self._notes(), "total": total, "pieces": self.pieces + 1})
        return self.path.open("ab")

    def discard(self) -> None:
        """Nothing of it is of use."""
        self.path.unlink(missing_ok=True)
        self._notes_path.unlink(missing_ok=True)

    def forget_notes(self) -> None:
        """The file is whole and has another name by now."""
        self._notes_path.unlink(missing_ok=True)

    def _notes(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self._notes_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, notes: Mapping[str, Any]) -> None:
        fresh = self._notes_path.with_name(self._notes_path.name + ".new")
        fresh.write_text(json.dumps(notes), encoding="utf-8")
        fresh.replace(self._notes_path)
