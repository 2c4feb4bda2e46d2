"""Licenses of the npm packages that end in the UI's bundle: none that would bind Milepost, and their texts beside it.

Read from package-lock.json, so that the check needs neither Node nor the packages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BlueOak-1.0.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "Unlicense",
        "Zlib",
    }
)
TEXTS = re.compile(r"^(licen[sc]e|copying|notice)", re.IGNORECASE)


def problems(ui: Path) -> list[str]:
    """A line for each bundled package whose license is not allowed or not told."""
    return [
        f"package-lock.json: {name} has license {license_ or 'none'}; allowed: {', '.join(sorted(ALLOWED))}"
        for name, license_ in bundled(ui)
        if not is_allowed(license_)
    ]


def bundled(ui: Path) -> Iterator[tuple[str, str]]:
    """Folder below services/ui and license of every package that is no development dependency."""
    packages = json.loads((ui / "package-lock.json").read_text())["packages"]
    for folder, entry in sorted(packages.items()):
        if folder and not entry.get("dev") and not entry.get("devOptional") and not entry.get("link"):
            yield folder, str(entry.get("license", ""))


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by allowed licenses alone: each of AND, one of OR."""
    text = expression.strip().removeprefix("(").removesuffix(")")
    if " AND " in text:
        return all(map(is_allowed, text.split(" AND ")))
    return any(part.strip().strip("()") in ALLOWED for part in text.split(" OR "))


def notices(ui: Path) -> str:
    """The license texts of the bundled packages, as they are installed."""
    parts = []
    for folder, license_ in bundled(ui):
        texts = [path for path in sorted((ui / folder).glob("*")) if path.is_file() and TEXTS.match(path.name)]
        body = "\n\n".join(path.read_text(encoding="utf-8", errors="replace").strip() for path in texts)
        parts.append(f"{folder.removeprefix('node_modules/')} ({license_})\n\n{body}".strip())
    return f"\n\n{'-' * 80}\n\n".join(parts) + "\n"
