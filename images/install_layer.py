"""Inside the build: installs the wheels of one folder as one layer under a prefix, without what no process reads.

    python3 install_layer.py WHEELS PREFIX

`WHEELS/requirements.txt` names every wheel with its hash; `WHEELS/libraries` holds shared libraries that the wheels
were linked with and that a slim base lacks.
"""

from __future__ import annotations

import compileall
import ctypes
import filecmp
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode

HOME = "/opt/milepost"
PYTHON = f"{HOME}/bin/python"
NOT_READ_AT_RUN_TIME = (
    "bin/(?!milepost-).*",  # commands of the dependencies, and the CLI, which has an extra of its own
    "share/(man|doc)",
    "{site}/(include|lib|bin)",  # llama.cpp for C++ programs; the library itself lies in llama_cpp/lib
    "{site}/(numpy|psutil|gguf|langsmith)/(.*/)?tests?",
    "{site}/apsw/sqlite_extra_binaries",  # command-line tools
    "{site}/kubernetes/aio",  # the same client once more, for asyncio
    r"{site}/zstandard/_cffi\..*",  # for Pythons other than CPython
    r".*\.(pyi|pyx|pxd|c|h|hpp|cpp|a)",
)
PACKED = ("kubernetes",)
"""Packages of generated code of which few modules are used: kept whole, but in one compressed file."""
IMPORTED_IN_PART = re.compile(r".*/kubernetes/client/(models|api)/.*")
"""Modules that are imported one by one as they are used: compiled beforehand they would cost more than they save."""
UNCHECKED = PycInvalidationMode.UNCHECKED_HASH  # nobody edits what lies in an image


def main() -> None:
    wheels, prefix = Path(sys.argv[1]), Path(sys.argv[2])
    install(wheels, prefix)
    site = next(prefix.glob("lib/python3*/site-packages"))
    for library in sorted(wheels.glob("libraries/*")):
        shutil.copy(library, site / "llama_cpp" / "lib")
    for library in sorted(site.glob("llama_cpp/lib/*.so")):
        require_loadable(library)
    leave_out(prefix, site)
    link_copies(prefix)
    for name in PACKED:
        if (site / name).is_dir():
            pack(site, name)
    compileall.compile_dir(
        site, quiet=1, maxlevels=50, stripdir=str(prefix), prependdir=HOME, invalidation_mode=UNCHECKED
    )


def require_loadable(library: Path) -> None:
    """Ends the build with one line when a library that was compiled on another machine does not fit this base."""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        sys.exit(f"install_layer: {library.name}, compiled by `make setup`, does not run on this base: {error}")


def install(wheels: Path, prefix: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", PYTHON, "--no-input", "--disable-pip-version-check", "install"]
    command += ["--quiet", "--no-compile", "--no-cache-dir", "--no-warn-script-location", "--no-deps", "--no-index"]
    command += ["--find-links", str(wheels), "--require-hashes", "-r", str(wheels / "requirements.txt")]
    subprocess.run([*command, "--prefix", str(prefix)], check=True)


def leave_out(prefix: Path, site: Path) -> None:
    """Removes what NOT_READ_AT_RUN_TIME names, relative to `prefix`."""
    inside = re.escape(str(site.relative_to(prefix)))
    pattern = re.compile("|".join(f"(?:{part.replace('{site}', inside)})" for part in NOT_READ_AT_RUN_TIME))
    for path in sorted(prefix.rglob("*")):
        if path.exists() and pattern.fullmatch(str(path.relative_to(prefix))):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def link_copies(prefix: Path) -> None:
    """A wheel cannot hold links, so libx.so, libx.so.1 and libx.so.1.2 are three copies: two become links."""
    for path in sorted(prefix.rglob("*.so*"), key=lambda each: len(each.name)):
        longer = [each for each in path.parent.glob(f"{path.name}.*") if not each.is_symlink()]
        same = [each for each in longer if filecmp.cmp(path, each, shallow=False)]
        if same:
            path.unlink()
            path.symlink_to(max(same, key=lambda each: len(each.name)).name)


def pack(site: Path, name: str) -> None:
    """Moves the package `name` into `name`.zip, which a .pth file puts on the path of imports."""
    with zipfile.ZipFile(site / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(path for path in (site / name).rglob("*") if path.is_file()):
            _add(packed, path, site)
            if path.suffix == ".py" and not IMPORTED_IN_PART.match(str(path)):
                compiled = path.with_suffix(".pyc")
                shown = f"{HOME}/lib/{site.parent.name}/{site.name}/{name}.zip/{path.relative_to(site)}"
                py_compile.compile(str(path), str(compiled), shown, doraise=True, invalidation_mode=UNCHECKED)
                _add(packed, compiled, site)
    shutil.rmtree(site / name)
    (site / f"{name}.pth").write_text(f"{name}.zip\n")


def _add(packed: zipfile.ZipFile, path: Path, site: Path) -> None:
    entry = zipfile.ZipInfo(str(path.relative_to(site)))  # with a fixed date, so that two builds are equal
    packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


if __name__ == "__main__":
    main()
