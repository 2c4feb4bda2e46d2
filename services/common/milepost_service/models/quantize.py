"""Requantisation by llama.cpp's own function: the same weights in a format that its fast kernels know."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

from milepost_service.errors import ConfigurationError
from milepost_service.models.gguf_file import require_gguf
from milepost_service.models.silence import load_llama

FILE_TYPES = {"Q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0", "Q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0"}
FULL_DISK_BYTES = 1024 * 1024


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
        # llama.cpp says only that it failed; a disk with hardly a block left says why.
        if shutil.disk_usage(target.parent).free < FULL_DISK_BYTES:
            raise ConfigurationError(
                f"MILEPOST_CACHE_DIR: {target.parent} is full; allowed: a folder with room for the model"
            )
        raise ConfigurationError(
            f"{where}: llama.cpp cannot requantise {source} to {quantization}; allowed: a whole GGUF model file"
        )
