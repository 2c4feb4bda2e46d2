"""Labelled utterances, one JSON object a line: `{"query": "...", "label": "coding"}`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from milepost_agent.router.tags import LABELS

DATA_DIR = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Example:
    query: str
    label: str


def read_examples(path: Path) -> list[Example]:
    """Read a file; raises ValueError with file, line, what is wrong and what is allowed."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            examples.append(_parse(line, f"{path}:{number}"))
    return examples


def training_examples() -> list[Example]:
    """The committed training examples, in the order of LABELS; the order of `Heads.example_vectors`."""
    return [example for label in LABELS for example in read_examples(DATA_DIR / f"{label}.jsonl")]


def fingerprint() -> str:
    """Changes when any file that the heads are trained on changes."""
    files = [DATA_DIR / f"{name}.jsonl" for name in (*LABELS, "tuning")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _parse(line: str, where: str) -> Example:
    try:
        values = json.loads(line)
        query, label = values["query"], values["label"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{where}: not an example ({error}); allowed: {{"query": "...", "label": "..."}}') from error
    if not isinstance(query, str) or label not in LABELS:
        raise ValueError(f"{where}: label {label!r}; allowed: {', '.join(LABELS)}, with a text as query")
    return Example(query, label)
