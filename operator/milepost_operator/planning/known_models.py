"""The size of models that are used often, so that memory can be judged before anything was downloaded or loaded."""

import re
from dataclasses import dataclass

from milepost_crds import ModelShape, ModelSource

_BITS_PER_WEIGHT = {
    "Q2_K": 3.0, "Q3_K_S": 3.5, "Q3_K_M": 3.9, "Q3_K_L": 4.3, "IQ4_XS": 4.3, "Q4_0": 4.6, "Q4_1": 5.0,
    "Q4_K_S": 4.6, "Q4_K_M": 4.9, "Q5_0": 5.5, "Q5_K_S": 5.5, "Q5_K_M": 5.7, "Q6_K": 6.6, "Q8_0": 8.5,
    "F16": 16.0, "BF16": 16.0, "F32": 32.0,
}  # fmt: skip
"""What a parameter takes on average in a GGUF file of each type, its scales included."""


@dataclass(frozen=True)
class KnownModel:
    """A model family: its number of parameters and the shape that its KV cache follows from."""

    parameters: float
    shape: ModelShape


@dataclass(frozen=True)
class ModelSize:
    """Bytes of the weights as they are loaded, and of what one token keeps in the KV cache."""

    weights_bytes: int
    kv_bytes_per_token: int


_SMOLLM2_135M = KnownModel(134.5e6, ModelShape(layers=30, kv_heads=3, head_dimension=64))
_FAMILIES = {
    "smollm2-135m": _SMOLLM2_135M,
    "mistral-7b": KnownModel(7.25e9, ModelShape(layers=32, kv_heads=8, head_dimension=128)),
    "deepseek-coder-6.7b": KnownModel(6.74e9, ModelShape(layers=32, kv_heads=32, head_dimension=128)),
    "deepseek-coder-1.3b": KnownModel(1.35e9, ModelShape(layers=24, kv_heads=16, head_dimension=128)),
    "qwen2.5-0.5b": KnownModel(0.49e9, ModelShape(layers=24, kv_heads=2, head_dimension=64)),
    "qwen2.5-1.5b": KnownModel(1.54e9, ModelShape(layers=28, kv_heads=2, head_dimension=128)),
    "qwen2.5-3b": KnownModel(3.09e9, ModelShape(layers=36, kv_heads=2, head_dimension=128)),
    "llama-3-8b": KnownModel(8.03e9, ModelShape(layers=32, kv_heads=8, head_dimension=128)),
    "llama-3.1-8b": KnownModel(8.03e9, ModelShape(layers=32, kv_heads=8, head_dimension=128)),
}


def known_size(source: ModelSource, quantization: str | None = None) -> ModelSize | None:
    """Size of a model, as it is or as it is converted, or None for one that is not known."""
    if source.package is not None:
        where, file = f"{source.package.name}/{source.package.file}", source.package.file
    elif source.hugging_face is not None:
        where, file = f"{source.hugging_face.repo}/{source.hugging_face.file}", source.hugging_face.file
    else:
        return None
    family = next((model for name, model in _FAMILIES.items() if name in where.lower()), None)
    bits = _BITS_PER_WEIGHT.get(quantization or _type_in(file))
    if family is None or bits is None:
        return None
    return ModelSize(round(family.parameters * bits / 8), family.shape.kv_bytes_per_token)


def _type_in(file: str) -> str:
    """The type that a GGUF file's name ends with, as in small-1B.Q4_K_M.gguf; "" where it has none."""
    found = re.search(r"[.-](I?Q[2-8]_[0-9A-Z_]+|B?F(?:16|32))\.gguf$", file, re.IGNORECASE)
    return found[1].upper() if found else ""
