"""The few of many tools that a request is likely about: a model chooses badly among hundreds, and reads them slowly."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from milepost_tools.tool import SchemaTool

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\da-zA-Z_]+")
_NAME_WEIGHT = 2.0
_SHORTEST = 2


def best_matches(text: str, tools: Sequence[SchemaTool], most: int) -> Sequence[SchemaTool]:
    """At most `most` tools, those that share the rarest words with the text first; all where there are no more.

    Words of a name count twice as much as those of the description and of the names of arguments.
    """
    if len(tools) <= most:
        return tools
    named = [_words(tool.name) for tool in tools]
    told = [_words(f"{tool.description} {' '.join(tool.schema.get('properties', {}))}") for tool in tools]
    spread = Counter(word for name, rest in zip(named, told, strict=True) for word in name | rest)
    asked = _words(text)

    def score(place: int) -> float:
        rarity = {word: math.log(1 + len(tools) / spread[word]) for word in asked & (named[place] | told[place])}
        return sum(value * (_NAME_WEIGHT if word in named[place] else 1.0) for word, value in rarity.items())

    ranked = sorted(range(len(tools)), key=lambda place: (-score(place), place))
    return [tools[place] for place in ranked[:most]]


def _words(text: str) -> frozenset[str]:
    """Words in lower case without the ending of a plural; `getWeather_report` has three."""
    found = (match.lower() for match in _WORD.findall(text))
    return frozenset(word.removesuffix("s") for word in found if len(word) >= _SHORTEST)
