"""What decides which passages come first: the words that are looked for, and how two rankings become one."""

import re
from collections.abc import Sequence

_FUSION = 60  # of reciprocal rank fusion; how much the first places count over the next
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


def fused(*rankings: Sequence[int]) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): rows, best first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, row in enumerate(ranking):
            scores[row] = scores.get(row, 0.0) + 1 / (_FUSION + place)
    return sorted(scores, key=lambda row: (-scores[row], row))
