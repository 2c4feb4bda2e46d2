"""Inside the build: turns the base into what every image starts from.

Takes pip out, adds the user 10001 and the folders that volumes are mounted on, and compiles what the processes import
of the standard library where the base comes without: a process that may not write would do it at every start.
"""

from __future__ import annotations

import compileall
import importlib
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

USER = 10001
FOLDERS = ("/data", "/var/cache/milepost", "/var/lib/milepost/documents", "/var/lib/milepost/model", "/etc/milepost")
INSTALLERS = ("pip", "pip-*", "ensurepip", "setuptools", "setuptools-*", "wheel", "wheel-*", "pkg_resources")
STARTED_WITH = (
    "argparse asyncio bz2 calendar colorsys concurrent.futures.thread ctypes decimal difflib email.policy "
    "encodings.idna encodings.raw_unicode_escape encodings.unicode_escape fractions getpass gzip http.cookiejar "
    "http.cookies http.server importlib.metadata importlib.readers importlib.resources logging lzma mimetypes "
    "multiprocessing.pool netrc pickletools pkgutil platform pprint pydoc queue quopri secrets shlex sqlite3 ssl "
    "sysconfig timeit uuid wsgiref.simple_server xml.sax.saxutils zipfile zoneinfo"
)
"""What the processes import of the standard library, as far as other modules do not bring it along."""


def main() -> None:
    standard = Path(sysconfig.get_paths()["stdlib"])
    remove_installers(standard)
    with Path("/etc/passwd").open("a") as users, Path("/etc/group").open("a") as groups:
        users.write(f"milepost:x:{USER}:{USER}::/tmp:/usr/sbin/nologin\n")
        groups.write(f"milepost:x:{USER}:\n")
    for folder in FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)
    compile_standard_library(standard)
    Path(__file__).unlink()


def compile_standard_library(standard: Path) -> None:
    for name in STARTED_WITH.split():
        importlib.import_module(name)
    imported = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    for file in sorted(imported):
        if Path(file).is_relative_to(standard) and file.endswith(".py"):
            compileall.compile_file(file, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


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
