"""What services say of themselves, compared all at once: the same cosines as one by one, in bounded time and memory."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_agent.router import Candidate, service_vectors
from milepost_agent.router.affinity import Similarities
from milepost_agent.router.embedding import Embedder, Embedding, Vector
from milepost_agent.router.service_vectors import ServiceVectors

WIDTH = 16


class Texts:
    """Gives every text a vector of its own, and remembers what it was asked for."""

    width = WIDTH

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, text: str) -> Embedding:
        self.embedded.append(text)
        return Embedding(vector_of(text), truncated=False)


def vector_of(text: str) -> Vector:
    vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(WIDTH).astype(np.float32)
    return cast("Vector", vector / np.linalg.norm(vector))


def made() -> tuple[ServiceVectors, Texts]:
    texts = Texts()
    return ServiceVectors(cast("Embedder", texts)), texts


def service(name: str, *examples: str) -> Candidate:
    return Candidate(name, ("coding",), f"what {name} does", examples)


def similarities(vector: Vector, description: Vector, examples: tuple[Vector, ...]) -> Similarities:
    """Compare unit vectors of shape (width,)."""
    if not examples:
        return Similarities(float(vector @ description))
    stacked = np.stack(examples)
    centroid = stacked.mean(axis=0)
    length = float(np.linalg.norm(centroid)) or 1.0
    return Similarities(float(vector @ description), float(vector @ centroid) / length, float((stacked @ vector).max()))


def same(one: Similarities, other: Similarities) -> bool:
    pairs: Any = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(a is b if a is None or b is None else abs(a - b) < 1e-5 for a, b in pairs)


services = st.lists(
    st.builds(service, st.text("abc", min_size=1, max_size=3), st.text("xy", max_size=4), st.text("xy", max_size=4))
    | st.builds(service, st.text("abc", min_size=1, max_size=3)),
    max_size=6,
)


@given(sets=st.lists(services, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_all_at_once_gives_the_cosines_of_one_by_one_while_sets_change(sets: list[list[Candidate]]) -> None:
    vectors, _ = made()
    asked = vector_of("asked")
    for candidates in [*sets, *sets]:
        assert vectors.learn(candidates, 60)
        found = vectors.compare(asked, candidates)
        for each, got in zip(candidates, found, strict=True):
            examples = tuple(map(vector_of, each.examples))
            assert same(got, similarities(asked, vector_of(each.description), examples))


def test_without_time_a_service_is_compared_by_what_is_known_and_later_by_the_rest() -> None:
    vectors, _ = made()
    known, new = service("known", "one", "two"), service("new", "three")
    vectors.learn([known], 60)
    assert not vectors.learn([known, new], 0)
    before = vectors.compare(vector_of("asked"), [known, new])
    assert before[0].nearest is not None
    assert before[1] == Similarities(0.0)
    assert vectors.learn([known, new], 60)
    assert vectors.compare(vector_of("asked"), [known, new])[1].nearest is not None


def test_a_text_is_embedded_once_however_often_services_say_it() -> None:
    vectors, texts = made()
    for _ in range(3):
        vectors.learn([service("one", "shared"), service("two", "shared")], 60)
        vectors.learn([service("two", "shared")], 60)
    assert sorted(texts.embedded) == ["shared", "what one does", "what two does"]


def test_of_services_that_say_too_much_all_descriptions_and_first_examples_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_vectors, "CAPACITY", 10)
    vectors, texts = made()
    many = [service(name, *(f"{name}{number}" for number in range(5))) for name in "abc"]
    assert vectors.learn(many, 60)
    assert texts.embedded[3:] == ["a0", "b0", "c0", "a1", "b1", "c1"]
    for each, got in zip(many, vectors.compare(vector_of("asked"), many), strict=True):
        expected = similarities(
            vector_of("asked"), vector_of(each.description), tuple(map(vector_of, each.examples[:2]))
        )
        assert same(got, expected)


def test_texts_in_use_stay_while_those_of_services_that_are_gone_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_vectors, "CAPACITY", 8)
    vectors, texts = made()
    kept = [service("kept", "first", "second")]
    for number in range(30):
        passing = [*kept, service(f"passing{number}", f"example{number}")]
        assert vectors.learn(passing, 60)
        expected = similarities(
            vector_of("asked"), vector_of("what kept does"), (vector_of("first"), vector_of("second"))
        )
        assert same(vectors.compare(vector_of("asked"), passing)[0], expected)
    assert len(texts.embedded) == 3 + 2 * 30


class SlowTexts(Texts):
    """Begins no text's vector before another thread has asked for the same."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._together = threading.Barrier(threads, timeout=30)

    def embed(self, text: str) -> Embedding:
        self._together.wait()
        return super().embed(text)


@pytest.mark.requirement("RTR-1")
def test_threads_that_read_the_same_services_at_once_leave_one_row_a_text() -> None:
    texts = SlowTexts(2)
    vectors = ServiceVectors(cast("Embedder", texts))
    offered = [service("a"), service("b")]
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: vectors.learn(offered, 30.0), range(2)))
    assert len(texts.embedded) == 4
    asked = vector_of("a request")
    expected = [Similarities(float(asked @ vector_of(f"what {each.name} does"))) for each in offered]
    assert all(map(same, vectors.compare(asked, offered), expected))
