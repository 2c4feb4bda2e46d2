"""Where the prepared embedding model lies when nobody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

MODEL_FILE_NAME = "minilm-l6-v2-q8_0.gguf"


def default_model_file() -> Path:
    """`MILEPOST_ROUTER_MODEL`, or the model in `MILEPOST_CACHE_DIR` (default `~/.cache/milepost`)."""
    configured = os.environ.get("MILEPOST_ROUTER_MODEL")
    if configured:
        return Path(configured)
    cache = os.environ.get("MILEPOST_CACHE_DIR")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache" / "milepost") / MODEL_FILE_NAME
