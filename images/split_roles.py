"""Inside the build: shares Milepost's own installation out to its roles, so that each image holds only its code.

    python3 split_roles.py PREFIX TARGET

Every command PREFIX/bin/milepost-ROLE leads to TARGET/ROLE with that command, its package, and those that all use.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

COMMON = ("milepost", "milepost_crds", "milepost_service")
WITHOUT_SERVICE = ("operator",)


def main() -> None:
    prefix, target = Path(sys.argv[1]), Path(sys.argv[2])
    site = next(prefix.glob("lib/python3*/site-packages"))
    for command in sorted((prefix / "bin").glob("milepost-*")):
        role = command.name.removeprefix("milepost-")
        packages = [name for name in COMMON if role not in WITHOUT_SERVICE or name != "milepost_service"]
        into = target / role / site.relative_to(prefix)
        for path in [*site.glob("milepost-*.dist-info"), *(site / name for name in (*packages, f"milepost_{role}"))]:
            shutil.copytree(path, into / path.name)
        (target / role / "bin").mkdir()
        shutil.copy2(command, target / role / "bin")


if __name__ == "__main__":
    main()
