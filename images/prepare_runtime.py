"""Inside the build: turns the base into what every image starts from.

Takes pip out, adds the user 10001 and the folders that volumes are mounted on, and compiles the standard library
where the base comes without compiled modules: a process that may not write would compile them at every start.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

USER = 10001
FOLDERS = ("/data", "/var/cache/milepost", "/var/lib/milepost/documents", "/var/lib/milepost/model", "/etc/milepost")
INSTALLERS = ("pip", "pip-*", "ensurepip", "setuptools", "setuptools-*", "wheel", "wheel-*", "pkg_resources")
SELDOM_USED = (
    r"/(test|tests|idlelib|tkinter|turtledemo|lib2to3|pydoc_data|unittest|distutils|dist-packages|site-packages)/"
)


def main() -> None:
    standard = Path(sysconfig.get_paths()["stdlib"])
    remove_installers(standard)
    with Path("/etc/passwd").open("a") as users, Path("/etc/group").open("a") as groups:
        users.write(f"milepost:x:{USER}:{USER}::/tmp:/usr/sbin/nologin\n")
        groups.write(f"milepost:x:{USER}:\n")
    for folder in FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)
    compileall.compile_dir(
        standard,
        quiet=1,
        maxlevels=50,
        rx=re.compile(SELDOM_USED),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    Path(__file__).unlink()


def remove_installers(standard: Path) -> None:
    folders = {standard, *(Path(folder) for folder in sys.path if folder.endswith("-packages"))}
    for folder in folders:
        for pattern in INSTALLERS:
            for path in folder.glob(pattern):
                shutil.rmtree(path)
    for folder in ("/usr/bin", "/usr/local/bin"):
        for command in Path(folder).glob("pip*"):
            command.unlink()


if __name__ == "__main__":
    main()
