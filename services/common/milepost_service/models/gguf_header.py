"""What a GGUF file says of its model before any weight is read: enough to know how much memory it will take."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost_service.errors import ConfigurationError
from milepost_service.models.gguf_file import require_gguf

Value = str | int | float | bool | Sequence[int]

KV_ELEMENT_BYTES = 2  # half precision, llama.cpp's default
LONGEST_LIST = 4096  # lists with an entry for each layer; vocabularies are longer, and only counted
_START = struct.Struct("<4sIQQ")
_SCALARS = {
    number: struct.Struct(f"<{code}")
    for number, code in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}
_STRING, _ARRAY = 8, 9
_LENGTH = _SCALARS[10]
_KIND = _SCALARS[4]


@dataclass(frozen=True)
class GgufHeader:
    """The metadata of a GGUF file. Lists of texts, and long ones, are there by their length."""

    values: Mapping[str, Value]
    file_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values that one token of context takes over all layers; 0 for encoders."""
        if self._own("pooling_type") is not None or self._own("attention.causal") is False:
            return 0
        layers, heads = self._number("block_count"), self._per_layer("attention.head_count")
        size = self._number("embedding_length") // max((1, *heads))
        key = self._number("attention.key_length") or size
        value = self._number("attention.value_length") or size
        kept = self._per_layer("attention.head_count_kv") or heads
        total = sum(kept) if len(kept) > 1 else layers * sum(kept)
        return total * (key + value) * KV_ELEMENT_BYTES

    def kv_bytes(self, context_tokens: int, sequences: int) -> int:
        """Bytes of the whole cache, or a little less where a sliding window keeps llama.cpp from needing all of it."""
        window = self._number("attention.sliding_window")
        return self.kv_bytes_per_token * (min(context_tokens, window) if window else context_tokens) * sequences

    @property
    def vocabulary_size(self) -> int:
        return int(self._number("vocab_size") or _as_int(self.values.get("tokenizer.ggml.tokens")))

    def _own(self, name: str) -> Value | None:
        return self.values.get(f"{self.values.get('general.architecture', '')}.{name}")

    def _number(self, name: str) -> int:
        return _as_int(self._own(name))

    def _per_layer(self, name: str) -> tuple[int, ...]:
        found = self._own(name)
        if isinstance(found, int):
            return (found,)
        return tuple(found) if isinstance(found, tuple) else ()


def read_header(path: Path, where: str) -> GgufHeader:
    """The header of a GGUF file. Raises ConfigurationError for a file that ends within it or makes no sense."""
    require_gguf(path, where)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return GgufHeader(_Reader(data).metadata(), len(data))
        except (struct.error, KeyError, UnicodeDecodeError, IndexError, OverflowError) as error:
            raise ConfigurationError(
                f"{where}: {path} has a broken GGUF header ({error}); allowed: a whole GGUF model file"
            ) from error


class _Reader:
    """Walks from entry to entry; whatever a length says, nothing beyond the end of the file is read or kept."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = _START.size
        self._entries = _START.unpack_from(data)[3]

    def metadata(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for _ in range(self._entries):
            key = self._text()
            found[key] = self._value(self._take(_KIND))
        return found

    def _take(self, kind: struct.Struct) -> int:
        value: int = kind.unpack_from(self._data, self._at)[0]
        self._at += kind.size
        return value

    def _text(self) -> str:
        start, end = self._skip_text()
        return self._data[start:end].decode()

    def _skip_text(self) -> tuple[int, int]:
        length = self._take(_LENGTH)
        start = self._at
        self._at += length
        if self._at > len(self._data):
            raise IndexError("a text leads beyond the end of the file")
        return start, self._at

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._list()
        return self._take(_SCALARS[kind])

    def _list(self) -> Value:
        kind, length = self._take(_KIND), self._take(_LENGTH)
        if kind == _STRING:
            for _ in range(length):
                self._skip_text()
            return length
        if kind == _ARRAY:
            raise KeyError("a list of lists")
        element = _SCALARS[kind]
        if length <= LONGEST_LIST:
            return tuple(self._take(element) for _ in range(length))
        self._at += element.size * length
        if self._at > len(self._data):
            raise IndexError("a list leads beyond the end of the file")
        return length


def _as_int(value: Value | None) -> int:
    return int(value) if isinstance(value, int | float) else 0
