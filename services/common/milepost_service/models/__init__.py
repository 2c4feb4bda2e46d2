"""Model files on this machine: found in installed packages, converted or requantised once, verified, cached."""

from milepost_service.models.cache import CachedFile, default_cache_dir, make_once
from milepost_service.models.checksum import sha256_of
from milepost_service.models.gguf_file import require_gguf
from milepost_service.models.gguf_header import GgufHeader, read_header
from milepost_service.models.minilm import MINILM_FILE_NAME, ensure_minilm
from milepost_service.models.package_files import package_file
from milepost_service.models.quantize import requantise
from milepost_service.models.silence import silence_llama
from milepost_service.models.source import ensure_model, find_model

__all__ = [
    "MINILM_FILE_NAME",
    "CachedFile",
    "GgufHeader",
    "default_cache_dir",
    "ensure_minilm",
    "ensure_model",
    "find_model",
    "make_once",
    "package_file",
    "read_header",
    "requantise",
    "require_gguf",
    "sha256_of",
    "silence_llama",
]
