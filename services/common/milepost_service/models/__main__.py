"""`python -m milepost_service.models prepare`: makes model files ready ahead of time (set-up, image builds)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from milepost_crds import LlamaCpp, ManifestError, ModelService, load_manifests
from milepost_service.errors import ConfigurationError
from milepost_service.models.cache import CACHE_DIR_VARIABLE, default_cache_dir
from milepost_service.models.downloads.credentials import Credentials
from milepost_service.models.minilm import ensure_minilm
from milepost_service.models.progress import Transfer
from milepost_service.models.source import ensure_model

UNDER_WAY = "under way: "
"""Begins a line that the next one makes old."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when everything is ready, 2 with one line on stderr when something cannot be prepared."""
    options = _parser().parse_args(arguments)
    try:
        credentials = Credentials.of_environment(secrets=dict(options.secret))
        for wanted in options.wanted:
            for path in _prepare(wanted, options.cache, credentials):
                _say(f"ready: {path}")
    except (ConfigurationError, ManifestError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 2
    return 0


def _prepare(wanted: str, cache_dir: Path, credentials: Credentials) -> list[Path]:
    if wanted == "minilm":
        return [ensure_minilm(cache_dir, _say)]
    blocks = _llama_cpp_blocks(Path(wanted))
    return [ensure_model(block, cache_dir, _say, watch=_watch, credentials=credentials) for block in blocks]


def _llama_cpp_blocks(path: Path) -> list[LlamaCpp]:
    resources = [manifest.resource for manifest in load_manifests([path])]
    services = [resource for resource in resources if isinstance(resource, ModelService)]
    return [service.spec.llama_cpp for service in services if service.spec.llama_cpp is not None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m milepost_service.models", description=__doc__)
    prepare = parser.add_subparsers(required=True).add_parser(
        "prepare", help="find, fetch, convert, verify and cache models"
    )
    prepare.add_argument("--cache", type=Path, default=default_cache_dir(), help=f"default: ${CACHE_DIR_VARIABLE}")
    prepare.add_argument(
        "--secret",
        action="append",
        default=[],
        type=_secret,
        metavar="NAME=DIR",
        help="folder that stands for a Secret",
    )
    prepare.add_argument("wanted", nargs="*", default=["minilm"], help="`minilm`, or manifests with ModelServices")
    return parser


def _secret(value: str) -> tuple[str, Path]:
    name, _, folder = value.partition("=")
    return name, Path(folder)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _watch(transfer: Transfer) -> None:
    _say(f"{UNDER_WAY}{transfer}")


if __name__ == "__main__":
    sys.exit(main())
