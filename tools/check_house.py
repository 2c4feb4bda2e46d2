"""House rules that a command can see, over every file that git tracks or would track.

The patterns are written so that this file does not match them itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG_FILE_LINES = 400
LARGE_FILE_BYTES = 2 * 2**20

REGISTRY_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("maven", "org"),
    ("maven", "apache", "org"),
    ("deb", "debian", "org"),
)
LINE_RULES = (
    ("host name of a package registry", "|".join(r"\.".join(host) for host in REGISTRY_HOSTS)),
    ("address of a package registry", r'(--|"|^ *)(extra-)?index-url|"resolved": *"http|GOPROXY[=]|registry *= *http'),
    ("path of one machine", r"(?<![\w.])/(work|root)/|(?<![\w.])/(home|Users)/[a-z]\w*/"),
    ("mark of unfinished work", r"\b(T[O]DO|F[I]XME|X[X]X)\b"),
    ("type: ignore without a code", r"#\s*type: ignor[e](?!\[)"),
    ("noqa without a code", r"#\s*noq[a](?!: ?[A-Z])"),
)
BESIDE_THE_CLONE = r"\.\./share[d]\b"
MISPLACED = (
    (r"^operator/__init__\.py$", "shadows the standard library's operator"),
    (r"(^|/)tests/__init__\.py$", "tests folders are not packages"),
    (r"\.(gguf|whl|safetensors)$|(^|/)(uv\.lock|\.env)$|(^|/)node_modules/", "does not belong in the repository"),
)
GENERATED = re.compile(r"(_pb2(_grpc)?\.pyi?|\.lock|package-lock\.json|\.svg|\.png)$")


@dataclass
class Findings:
    """What was found: `errors` fail the check, `warnings` are only told."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def inspect(root: Path, names: list[str]) -> Findings:
    """Findings for the files `names` (relative to `root`, with `/`)."""
    findings = Findings()
    for name in names:
        findings.errors += [f"{name}: {why}" for pattern, why in MISPLACED if re.search(pattern, name)]
        path = root / name
        if path.stat().st_size > LARGE_FILE_BYTES:
            findings.errors.append(f"{name}: {path.stat().st_size >> 20} MB; large files are made, not committed")
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        findings.errors += _broken_rules(name, lines)
        if name.endswith((".py", ".ts", ".tsx")) and len(lines) > LONG_FILE_LINES and not GENERATED.search(name):
            findings.warnings.append(f"{name}: {len(lines)} lines; is it one concept?")
    findings.errors += _repeated_test_names(names)
    return findings


def _broken_rules(name: str, lines: list[str]) -> Iterator[str]:
    rules = list(LINE_RULES[:2] if GENERATED.search(name) else LINE_RULES)
    if not name.startswith(".ci/"):
        rules.append(("path outside of the clone", BESIDE_THE_CLONE))
    compiled = [(why, re.compile(pattern)) for why, pattern in rules]
    for number, line in enumerate(lines, 1):
        yield from (f"{name}:{number}: {why}" for why, pattern in compiled if pattern.search(line))


def _repeated_test_names(names: list[str]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in names:
        base = name.rsplit("/", 1)[-1]
        if base.startswith("test_") and base.endswith(".py") and seen.setdefault(base, name) != name:
            yield f"{name}: same file name as {seen[base]}; pytest needs them unique"


def main() -> int:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    findings = inspect(ROOT, sorted({name for name in listed if name and (ROOT / name).is_file()}))
    for line in findings.warnings:
        print(f"warning: {line}")
    for line in findings.errors:
        print(line, file=sys.stderr)
    return 1 if findings.errors else 0


if __name__ == "__main__":
    sys.exit(main())
