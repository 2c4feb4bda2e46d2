"""The converted MiniLM says what the original weights say, computed here without llama.cpp."""

import math
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from safetensors import safe_open

from milepost_service.models import ensure_minilm, package_file, silence_llama
from milepost_service.models import minilm as conversion

pytestmark = pytest.mark.models

SENTENCES = (
    "Implement quicksort in Python",
    "What does the handbook say about working from home?",
    "naïve café, 12.5 % — unaffable!",
)
_erf = np.vectorize(math.erf)


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    path = package_file(conversion.PACKAGE, "model/model.safetensors", "test")
    with safe_open(path, framework="numpy") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> llama_cpp.Llama:
    path = ensure_minilm(tmp_path_factory.mktemp("cache"))
    silence_llama(llama_cpp)
    return llama_cpp.Llama(str(path), embedding=True, n_ctx=512, n_batch=512, n_threads=1, verbose=False)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_vectors_agree_with_the_original_weights(
    model: llama_cpp.Llama, weights: dict[str, Any], sentence: str
) -> None:
    tokens = model.tokenize(sentence.encode())
    ours = np.array(model.embed(sentence))
    reference = bert(weights, tokens)
    cosine = ours @ reference / np.linalg.norm(ours) / np.linalg.norm(reference)
    assert cosine > 0.998


def test_words_are_split_as_in_the_vocabulary(model: llama_cpp.Llama) -> None:
    vocabulary = package_file(conversion.PACKAGE, "model/vocab.txt", "test").read_text().split("\n")
    expected = ["[CLS]", "implement", "quicks", "##ort", "in", "python", "[SEP]"]
    if "quicks" not in vocabulary:
        expected[2:4] = ["quick", "##sor", "##t"]
    assert [vocabulary[token] for token in model.tokenize(b"Implement quicksort in Python")] == expected


def test_weights_that_are_not_the_known_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(Exception, match=r"has sha256 53aa51.*; allowed: 0000"):
        ensure_minilm(tmp_path)
    assert not list(tmp_path.glob("*.gguf"))


def bert(weights: dict[str, Any], tokens: list[int]) -> np.ndarray:
    """Mean of the last layer of a BERT of 12 heads, in double precision."""
    places = np.arange(len(tokens))
    state = (
        weights["embeddings.word_embeddings.weight"][tokens] + weights["embeddings.position_embeddings.weight"][places]
    )
    state = norm(weights, "embeddings.LayerNorm", state + weights["embeddings.token_type_embeddings.weight"][0])
    for layer in range(conversion.LAYERS):
        state = block(weights, f"encoder.layer.{layer}", state.astype(np.float64))
    return state.mean(axis=0)


def block(weights: dict[str, Any], name: str, state: np.ndarray) -> np.ndarray:
    heads, size = conversion.HEADS, conversion.WIDTH // conversion.HEADS
    query, key, value = (
        linear(weights, f"{name}.attention.self.{part}", state).reshape(-1, heads, size).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(size)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (scores / scores.sum(axis=-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(state), -1)
    state = norm(
        weights, f"{name}.attention.output.LayerNorm", state + linear(weights, f"{name}.attention.output.dense", mixed)
    )
    wide = linear(weights, f"{name}.intermediate.dense", state)
    wide = wide * (1 + _erf(wide / math.sqrt(2))) / 2
    return norm(weights, f"{name}.output.LayerNorm", state + linear(weights, f"{name}.output.dense", wide))


def linear(weights: dict[str, Any], name: str, state: np.ndarray) -> np.ndarray:
    return state @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: dict[str, Any], name: str, state: np.ndarray) -> np.ndarray:
    centred = state - state.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + conversion.NORM_EPSILON)
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
