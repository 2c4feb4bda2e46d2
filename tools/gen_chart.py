"""Copies the generated CRDs into the Helm chart; with --check, fails when the copies differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "crds"
COPIES = ROOT / "helm" / "milepost" / "files" / "crds"


def contents(folder: Path) -> dict[str, str]:
    """Text of each CRD file in a folder by its name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def drifted(source: Path, copies: Path) -> list[str]:
    """Names of the files that are not the same in both folders, or in only one."""
    wanted, found = contents(source), contents(copies)
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def copy(source: Path, copies: Path) -> None:
    """Makes `copies` hold the CRD files of `source` and no others."""
    wanted = contents(source)
    copies.mkdir(parents=True, exist_ok=True)
    for name in drifted(source, copies):
        if name in wanted:
            (copies / name).write_text(wanted[name], encoding="utf-8")
        else:
            (copies / name).unlink()


def main(arguments: Sequence[str]) -> int:
    """Copies or checks; the exit code is 1 when the copies drifted."""
    if "--check" not in arguments:
        copy(SOURCE, COPIES)
        return 0
    found = drifted(SOURCE, COPIES)
    for name in found:
        print(f"{(COPIES / name).relative_to(ROOT)}: differs from crds/{name}; run `make gen`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
