"""What is read of a long text: the lines that read most like a request, for the rest is what is asked about."""

from __future__ import annotations

import re
import textwrap
from functools import lru_cache

from milepost_agent.router.request_likeness import committed_likeness

WHOLE_CHARACTERS = 240
END_CHARACTERS = 1500  # looked at of either end, so that a text of any length costs the same
END_SEGMENTS = 12  # judged of either end
SEGMENT_CHARACTERS = 160
MOST = 2
AT_AN_END = 4.0  # log-odds more for the first and the last segment, for there requests stand
FURTHER_IN = 1.0  # log-odds less of that for each segment that stands before or after
CLOSE = 2.0  # log-odds; segments that are not as close to the best one are not read

_END_OF_SENTENCE = re.compile(r"(?<=[.?!:;])\s+")
_COURTESY = re.compile(
    r"(?:hello|hi|hey|dear|good (?:morning|afternoon|evening)|thanks?|many thanks|(?:kind|best|warm) (?:regards|wishes)"
    r"|regards|best(?=,)|cheers|sincerely|yours)\b.{0,24}",
    re.IGNORECASE,
)


def excerpt(text: str) -> str:
    """`text` itself up to WHOLE_CHARACTERS; of a longer one the MOST segments most like a request, in their order.

    Segments are lines, or the sentences of long lines; greetings and thanks are passed over.
    Raises HeadsUnusableError when the numbers behind it cannot be read.
    """
    if len(text) <= WHOLE_CHARACTERS:
        return text
    stripped = text.strip()
    if len(stripped) <= 2 * END_CHARACTERS:
        return _most_like_requests(stripped, "")
    start = _whole_words(stripped[: END_CHARACTERS + 1])
    end = _whole_words(stripped[: -END_CHARACTERS - 2 : -1])[::-1]
    return _most_like_requests(start, end)


def segments(text: str) -> list[str]:
    """The lines of `text`; sentences, or pieces of SEGMENT_CHARACTERS, of lines that are longer than that."""
    return [segment for line in text.splitlines() for segment in _split(line.strip()) if segment]


@lru_cache(maxsize=16)  # the vector and the letters of one text ask for the same
def _most_like_requests(start: str, end: str) -> str:
    found = [segment for segment in segments(start) + segments(end) if not _COURTESY.fullmatch(segment)]
    if len(found) > 2 * END_SEGMENTS:
        found = found[:END_SEGMENTS] + found[-END_SEGMENTS:]
    likeness = committed_likeness()
    odds = [likeness.log_odds(segment) + _by_place(place, len(found)) for place, segment in enumerate(found)]
    best = sorted(range(len(found)), key=lambda place: -odds[place])[:MOST]
    return " ".join(found[place] for place in sorted(best) if odds[place] >= odds[best[0]] - CLOSE)


def _by_place(place: int, number: int) -> float:
    return max(0.0, AT_AN_END - FURTHER_IN * min(place, number - 1 - place))


def _split(line: str) -> list[str]:
    if len(line) <= SEGMENT_CHARACTERS:
        return [line]
    return [piece for sentence in _END_OF_SENTENCE.split(line) for piece in textwrap.wrap(sentence, SEGMENT_CHARACTERS)]


def _whole_words(text: str) -> str:
    """Without the last word, which may be cut; all of it when it is a single word."""
    return text.rsplit(maxsplit=1)[0] if len(text.split(maxsplit=1)) > 1 else text
