"""What decides which passages come first: the words that are looked for, and how much they count beside meaning."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

Way = Literal["words", "meaning", "both"]
"""How passages are found. The first two are there to be measured against the third."""

WAYS: tuple[Way, ...] = get_args(Way)

_WORDS_WEIGHT = 0.2  # of the best match of words, in cosine similarity; docs/rag.md has others measured
_MOST_WORDS = 64
_WORD = re.compile(r"\w+")
# In a small collection these are as rare as any word, and would decide what is found.
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have he her his how i if in is it "
        "its me my no not of on or our she should so some than that the their them there these they this those to us "
        "was we were what when where which who whom whose why will with would you your"
    )
)


def match_of(query: str) -> str:
    """The query as FTS5 asks for it: any of its words that say something; empty when there is none."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(query)[:_MOST_WORDS])
    return " OR ".join(f'"{word}"' for word in words if word not in _EMPTY_WORDS)


def ranked(similarities: Mapping[int, float], matches: Mapping[int, float]) -> list[int]:
    """Rows of the passages found, best first.

    `similarities` are cosines of all of them, `matches` the BM25 of those with words of the query, the more the
    better: they count as shares of the best one, because BM25 has no scale of its own.
    """
    most = max(matches.values(), default=0.0)

    def score(row: int) -> float:
        return similarities[row] + (_WORDS_WEIGHT * matches.get(row, 0.0) / most if most > 0 else 0.0)

    return sorted(similarities, key=lambda row: (-score(row), row))
