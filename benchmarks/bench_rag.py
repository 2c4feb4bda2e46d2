"""Recall of the document search on the corpus of the tests: by words alone, by meaning alone, and by both.

    python benchmarks/bench_rag.py [--misses] [--data DIR]

A question counts as answered by a passage of one of its files that holds a phrase in which the answer stands.
`recall@k` is the share of questions with such a passage among the first k. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost_rag.index import Passage
from milepost_rag.library import Library
from milepost_rag.ranking import WAYS, Way
from milepost_service.models import default_cache_dir, ensure_minilm

TESTS = Path(__file__).resolve().parent.parent / "services" / "rag" / "tests"
CORPUS = TESTS / "corpus"
QUESTIONS = TESTS / "questions.jsonl"
CHUNK_TOKENS = 200  # the default of a ModelService
DEPTH = 10


@dataclass(frozen=True)
class Question:
    """`answers` are phrases by the file in which they stand."""

    question: str
    answers: Mapping[str, Sequence[str]]

    def is_answered_by(self, passage: Passage) -> bool:
        text = " ".join(passage.chunk.searchable.split())
        return any(phrase in text for phrase in self.answers.get(passage.path, ()))


@dataclass(frozen=True)
class Recall:
    """`places` are those of the first passage that answers, from 0; None where none of the first ten does."""

    way: Way
    places: Sequence[int | None]

    def at(self, most: int) -> float:
        return sum(place is not None and place < most for place in self.places) / len(self.places)

    @property
    def reciprocal_rank(self) -> float:
        return sum(1 / (place + 1) for place in self.places if place is not None) / len(self.places)


def questions() -> list[Question]:
    return [Question(**json.loads(line)) for line in QUESTIONS.read_text().splitlines()]


async def recall(library: Library, asked: Sequence[Question], way: Way) -> Recall:
    places: list[int | None] = []
    for each in asked:
        found = await library.search(each.question, DEPTH, way)
        places.append(next((place for place, passage in enumerate(found) if each.is_answered_by(passage)), None))
    return Recall(way, places)


async def measure(data: Path) -> tuple[Library, list[Recall]]:
    library = Library(CORPUS, data, ensure_minilm(default_cache_dir()), chunk_tokens=CHUNK_TOKENS)
    await library.open()
    return library, [await recall(library, questions(), way) for way in WAYS]


def main() -> None:
    parser = argparse.ArgumentParser(description="Recall of the document search on the corpus of the tests.")
    parser.add_argument("--misses", action="store_true", help="also the questions that both ways together miss")
    parser.add_argument("--data", type=Path, help="folder that keeps the index; left out, a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_report(arguments.data or Path(temporary), arguments.misses))


async def _report(data: Path, tells_misses: bool) -> None:
    library, measured = await measure(data)
    standing = library.standing
    await library.close()
    print(f"{standing.documents} documents, {standing.passages} passages, {len(questions())} questions\n")
    print("| found by | recall@1 | recall@3 | recall@5 | recall@10 | mean reciprocal rank |")
    print("|---|---|---|---|---|---|")
    for each in measured:
        shares = " | ".join(f"{each.at(most):.2f}" for most in (1, 3, 5, 10))
        print(f"| {each.way} | {shares} | {each.reciprocal_rank:.2f} |")
    if tells_misses:
        for asked, place in zip(questions(), measured[-1].places, strict=True):
            if place is None or place >= 5:
                print(f"{'none' if place is None else place + 1}: {asked.question}")
    print(json.dumps({f"recall_5_{each.way}": round(each.at(5), 3) for each in measured}))


if __name__ == "__main__":
    main()
