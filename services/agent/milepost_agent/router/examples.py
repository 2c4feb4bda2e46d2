"""Labelled utterances, one JSON object a line: `{"query": "...", "label": "coding"}`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from milepost_agent.router.tags import LABELS

DATA_DIR = Path(__file__).with_name("data")
MAX_LINE_BYTES = 4 * 1024 * 1024
SHAPE = '{"query": "...", "label": "..."}'
SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class Example:
    query: str
    label: str


def read_examples(path: Path, labels: Sequence[str] = LABELS) -> list[Example]:
    """Read a file whose labels are among `labels`; blank lines are passed over.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not an example; says file, line, what is wrong and what is allowed.
    """
    examples = []
    with path.open("rb") as file:
        for number in count(1):
            line = file.readline(MAX_LINE_BYTES + 1)
            if not line:
                break
            if line.strip():
                examples.append(_parse(line, f"{path}:{number}", labels))
    return examples


def training_voices() -> dict[str, list[Example]]:
    """The committed training examples by the voice that speaks: one file a voice, in the order of their names."""
    return {file.stem: read_examples(file) for file in _training_files()}


def training_examples() -> list[Example]:
    """All committed training examples, voice by voice: the order of `Heads.example_vectors`."""
    return [example for examples in training_voices().values() for example in examples]


def fingerprint() -> str:
    """Changes when any file that the heads are trained on changes."""
    files = [*_training_files(), DATA_DIR / "pastes.txt", DATA_DIR / "tuning.jsonl"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _training_files() -> list[Path]:
    return sorted((DATA_DIR / "training").glob("*.jsonl"))


def _parse(line: bytes, where: str, labels: Sequence[str]) -> Example:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"{where}: is too long; allowed: at most {MAX_LINE_BYTES >> 20} MiB a line")
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: is not UTF-8 text (byte {error.start}); allowed: {SHAPE}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is not JSON ({error.msg} at column {error.colno}); allowed: {SHAPE}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{where}: has too long a number or is nested too deeply; allowed: {SHAPE}") from None
    if not isinstance(values, dict) or not isinstance(values.get("query"), str):
        raise ValueError(f"{where}: has no text as query; allowed: {SHAPE}")
    if values.get("label") not in labels:
        shown = json.dumps(values["label"])[:SHOWN_CHARACTERS] if "label" in values else "is missing"
        raise ValueError(f"{where}: label {shown}; allowed: {', '.join(labels)}")
    return Example(values["query"], values["label"])
