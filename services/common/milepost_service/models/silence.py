"""llama.cpp writes its progress straight to stderr; a service's stderr belongs to the service."""

from __future__ import annotations

import ctypes
import importlib
from types import ModuleType

from milepost_service.errors import ConfigurationError

_kept_callbacks: list[object] = []  # llama.cpp holds the address only: the callback must outlive every call


def load_llama(where: str) -> ModuleType:
    """Import llama_cpp, silenced; raise ConfigurationError when it is not installed or cannot be loaded."""
    try:
        module = importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"{where}: llama-cpp-python cannot be loaded ({error}); allowed: an installation with the extra `llama`"
        ) from error
    silence_llama(module)
    return module


def silence_llama(module: ModuleType) -> None:
    """Discard everything llama.cpp would log in this process; harmless when called again."""
    if not _kept_callbacks:
        _kept_callbacks.append(module.llama_log_callback(lambda level, text, user_data: None))
    module.llama_log_set(_kept_callbacks[0], ctypes.c_void_p(0))
