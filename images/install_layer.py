"""Inside the build: installs the wheels of one folder as one layer under a prefix, without what no process reads.

    python3 install_layer.py WHEELS PREFIX

`WHEELS/requirements.txt` names every wheel with its hash; `WHEELS/libraries` holds shared libraries that the wheels
were linked with and that a slim base lacks.
"""

from __future__ import annotations

import compileall
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

PYTHON = "/opt/milepost/bin/python"
NOT_READ_AT_RUN_TIME = (
    "bin/(?!milepost-).*",  # commands of the dependencies, and the CLI, which has an extra of its own
    "share/man|share/doc",
    "{site}/(include|lib|bin)",  # llama.cpp for C++ programs; the library itself lies in llama_cpp/lib
    "{site}/(numpy|kopf|zstandard|apsw|psutil|gguf|langsmith)(/.*)?/tests?",
    "{site}/numpy/(f2py|_core/include|_core/lib)",
    "{site}/kubernetes/aio",  # a second copy of the client for another HTTP library
    r".*\.(pyi|pyx|pxd|c|h|hpp|cpp|a)",
)
IMPORTED_IN_PART = ("kubernetes/client/(models|api)",)
"""Modules that are imported one by one as they are used: compiled beforehand they would cost more than they save."""


def main() -> None:
    wheels, prefix = Path(sys.argv[1]), Path(sys.argv[2])
    install(wheels, prefix)
    site = next(prefix.glob("lib/python3*/site-packages"))
    for library in sorted(wheels.glob("libraries/*")):
        shutil.copy(library, site / "llama_cpp" / "lib")
    leave_out(prefix, str(site.relative_to(prefix)))
    link_copies(prefix)
    skipped = re.compile("|".join(IMPORTED_IN_PART))
    compileall.compile_dir(
        site,
        quiet=1,
        rx=skipped,
        maxlevels=50,
        stripdir=prefix,
        prependdir="/opt/milepost",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def install(wheels: Path, prefix: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", PYTHON, "--no-input", "--disable-pip-version-check", "install"]
    command += ["--quiet", "--no-compile", "--no-cache-dir", "--no-warn-script-location", "--no-deps", "--no-index"]
    command += ["--find-links", str(wheels), "--require-hashes", "-r", str(wheels / "requirements.txt")]
    subprocess.run([*command, "--prefix", str(prefix)], check=True)


def leave_out(prefix: Path, site: str) -> None:
    pattern = re.compile("|".join(f"(?:{part.replace('{site}', re.escape(site))})" for part in NOT_READ_AT_RUN_TIME))
    for path in sorted(prefix.rglob("*")):
        if path.exists() and pattern.fullmatch(str(path.relative_to(prefix))):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def link_copies(prefix: Path) -> None:
    """A wheel cannot hold links, so libx.so, libx.so.1 and libx.so.1.2 are three copies: two become links."""
    for path in sorted(prefix.rglob("*.so*"), key=lambda each: len(each.name)):
        longer = [each for each in path.parent.glob(f"{path.name}.*") if not each.is_symlink()]
        same = [each for each in longer if filecmp.cmp(path, each, shallow=False)]
        if same:
            path.unlink()
            path.symlink_to(max(same, key=lambda each: len(each.name)).name)


if __name__ == "__main__":
    main()
