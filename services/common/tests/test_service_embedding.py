"""One piece makes vectors for the router, the documents and the model service: here with the router's model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milepost_service.embedding import EmbeddingContext, EmbeddingError, Vector, tokens_of
from milepost_service.models import default_cache_dir, ensure_minilm
from milepost_service.models.silence import load_llama

pytestmark = pytest.mark.models
TOKENS = 32


class Minilm:
    """llama.cpp, the model and one context."""

    def __init__(self, path: Path) -> None:
        self.llama: Any = load_llama("test")
        params = self.llama.llama_model_default_params()
        self.model = self.llama.llama_model_load_from_file(str(path).encode(), params)
        self.vocabulary = self.llama.llama_model_get_vocab(self.model)
        self.context = EmbeddingContext(self.llama, self.model, tokens=TOKENS, threads=1)

    def vector(self, text: str) -> Vector:
        return self.context.vector(tokens_of(self.llama, self.vocabulary, text))

    def close(self) -> None:
        self.context.close()
        self.context.close()
        self.llama.llama_model_free(self.model)


@pytest.fixture(scope="module")
def minilm() -> Iterator[Minilm]:
    minilm = Minilm(ensure_minilm(default_cache_dir()))
    yield minilm
    minilm.close()


def test_texts_that_mean_alike_have_vectors_that_lie_alike(minilm: Minilm) -> None:
    cat, kitten, tax = (minilm.vector(text) for text in ("The cat sleeps.", "A kitten is napping.", "Pay the tax."))
    assert cat.shape == (minilm.context.width,) == (384,)
    assert [float(np.linalg.norm(each)) for each in (cat, kitten, tax)] == pytest.approx([1, 1, 1], abs=1e-5)
    assert cat @ kitten > 0.5 > 0.2 > cat @ tax


def test_a_vector_does_not_depend_on_the_texts_before_it(minilm: Minilm) -> None:
    first = minilm.vector("The cat sleeps.")
    minilm.vector("Something longer that was read in between, about taxes.")
    assert (minilm.vector("The cat sleeps.") == first).all()


def test_more_tokens_than_the_context_holds_are_an_error_and_the_next_text_is_read(minilm: Minilm) -> None:
    with pytest.raises(EmbeddingError, match="more than the 32 that fit"):
        minilm.vector("word " * 100)
    assert minilm.vector("word").shape == (384,)


def test_characters_that_end_or_break_a_text_elsewhere_are_read(minilm: Minilm) -> None:
    texts = ("a\0b", "a\ud800b", "[CLS] a [SEP] b", "")
    assert all(np.isfinite(minilm.vector(text)).all() for text in texts)
    assert tokens_of(minilm.llama, minilm.vocabulary, "", begin=False) == []
