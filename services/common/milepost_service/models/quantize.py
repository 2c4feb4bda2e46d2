"""Requantisation by llama.cpp's own function: the same weights in a format that its fast kernels know."""

from __future__ import annotations

import ctypes
from pathlib import Path

from milepost_service.errors import ConfigurationError
from milepost_service.models.gguf_file import require_gguf
from milepost_service.models.silence import load_llama

FILE_TYPES = {"Q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0", "Q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0"}


def requantise(source: Path, target: Path, quantization: str, where: str) -> None:
    """Write `source` (GGUF) to `target` as `quantization`, one of FILE_TYPES.

    Raises ConfigurationError for a file that llama.cpp refuses.
    """
    if quantization not in FILE_TYPES:
        raise ConfigurationError(f"{where}: {quantization!r} is unknown; allowed: {', '.join(FILE_TYPES)}")
    require_gguf(source, where)
    llama = load_llama(where)
    params = llama.llama_model_quantize_default_params()
    params.ftype = getattr(llama, FILE_TYPES[quantization])
    params.allow_requantize = True
    failed = llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if failed:
        raise ConfigurationError(
            f"{where}: llama.cpp cannot requantise {source} to {quantization}; allowed: a whole GGUF model file"
        )
