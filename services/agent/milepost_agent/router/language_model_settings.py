"""What is said of a larger router model: where its file comes from, and what it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DEADLINE_SECONDS = 2.0
CONTEXT_TOKENS = 1024
"""Room for the prompt (about 650 tokens), the request and the end of the turn."""


@dataclass(frozen=True)
class LanguageModelSettings:
    """A model in GGUF that scores the tags.

    `find` gives its file. It is called on the model's own thread, may take its time, and raises ModelUnusableError
    for a file that is not there, is not the one that is asked for, or does not fit into memory.
    """

    find: Callable[[], Path]
    deadline_seconds: float = DEADLINE_SECONDS
    threads: int = 1
    context_tokens: int = CONTEXT_TOKENS
    kept_in: Path | None = None
    """The folder that the calibration is kept in; None: it is fitted at each start."""
