"""llama.cpp in this process, silenced: stderr belongs to the agent."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

from milepost_agent.router.errors import ModelUnusableError

_kept_callbacks: list[object] = []


def load_llama() -> Any:
    """The module of llama.cpp's functions; raises ModelUnusableError where it cannot be loaded."""
    try:
        llama = importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelUnusableError(f"llama-cpp-python cannot be loaded ({error})") from error
    if not _kept_callbacks:
        _kept_callbacks.append(llama.llama_log_callback(lambda level, text, user_data: None))
    llama.llama_log_set(_kept_callbacks[0], ctypes.c_void_p(0))
    return llama
