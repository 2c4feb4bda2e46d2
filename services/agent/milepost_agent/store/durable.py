"""Files that are whole or not there: written beside, synced, renamed."""

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(file: Path) -> None:
    """Makes the content of a file durable. Raises OSError."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durable(file: Path, text: str) -> None:
    """Puts a text into a file, replacing what was there, at once and durably. Raises OSError."""
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    sync_file(partial)
    partial.replace(file)
    sync_folder(file.parent)


def discard(*files: Path) -> None:
    """Removes files as far as that can be done."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
