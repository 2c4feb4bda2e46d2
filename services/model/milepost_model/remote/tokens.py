"""How many tokens a text may have, where nobody tells."""

import math
from collections.abc import Sequence

from milepost_model.requests import Turn

_BYTES_PER_TOKEN = 3.5
"""English prose has about 4, code and other scripts about 3."""
_TOKENS_PER_TURN = 4


def estimated_tokens(text: str) -> int:
    """An estimate; 0 for no text."""
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def estimated_chat_tokens(turns: Sequence[Turn]) -> int:
    """An estimate, with what parts the turns."""
    return sum(estimated_tokens(turn.content) + _TOKENS_PER_TURN for turn in turns)
