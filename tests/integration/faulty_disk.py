"""A disk that fails on demand, for a process that is started with its environment; needs a C compiler."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class FaultyDisk:
    """The disk below `folder`, and beside it what of the databases and logs has really reached it."""

    folder: Path
    kept: Path
    orders: Path
    library: Path

    @classmethod
    def make(cls, directory: Path) -> "FaultyDisk":
        """A folder `state` in the directory; skips the test where there is no compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        disk = cls(directory / "state", directory / "kept", directory / "orders", directory / "faulty_disk.so")
        disk.folder.mkdir()
        disk.kept.mkdir()
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(disk.library), str(SOURCE), "-ldl", "-lpthread"]
        subprocess.run(command, check=True)
        return disk

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with to have this disk."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAULTY_FOLDER": str(self.folder),
            "FAULTY_KEPT": str(self.kept),
            "FAULTY_ORDERS": str(self.orders),
        }

    def fail(self, *orders: tuple[str, int, str]) -> None:
        """Has operations ("write", "sync", "open") fail with an errno, on files whose names end like that."""
        fresh = self.orders.with_suffix(".new")
        fresh.write_text("".join(f"{operation} {number} {end}\n" for operation, number, end in orders))
        fresh.replace(self.orders)

    def heal(self) -> None:
        self.orders.unlink()

    def cut_power(self) -> None:
        """Leaves in the folder what has reached the disk, and nothing else; for when no process uses it."""
        shutil.rmtree(self.folder)
        self.kept.rename(self.folder)
