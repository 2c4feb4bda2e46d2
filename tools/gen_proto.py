"""Writes the Python stubs beside the .proto files; with --check, fails when the committed ones differ."""

import os
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent / "proto"


def generate(out: Path) -> None:
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    include = str(files("grpc_tools") / "_proto")
    arguments = [
        "protoc",
        f"-I{ROOT}",
        f"-I{include}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out={out}",
        *sources,
    ]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if protoc.main(arguments) != 0:
        raise SystemExit("proto: protoc failed")


def stubs(root: Path) -> dict[str, str]:
    found = (path for pattern in ("*_pb2*.py", "*_pb2*.pyi") for path in root.rglob(pattern))
    return {str(path.relative_to(root)): path.read_text() for path in found}


def main() -> int:
    if "--check" not in sys.argv:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        fresh, committed = stubs(Path(directory)), stubs(ROOT)
    drifted = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    for name in drifted:
        print(f"proto/{name}: differs from its .proto file; run `make gen`", file=sys.stderr)
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
