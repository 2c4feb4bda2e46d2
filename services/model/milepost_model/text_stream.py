"""Bytes of tokens to text that can be sent: whole characters only, and nothing of a stop text."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Feed it bytes; it gives back the text that is final by now."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False
        """True once a stop text was seen; nothing comes after it."""

    def push(self, data: bytes) -> str:
        """Text that became final by these bytes."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data)
        # The one that was whole first counts, however the bytes came; of two that end together, the longer.
        found = [(position + len(text), position) for text in self._stop if (position := self._held.find(text)) >= 0]
        if found:
            self.stopped = True
            final, self._held = self._held[: min(found)[1]], ""
            return final
        keep = self._possible_stop()
        final, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return final

    def finish(self) -> str:
        """What was held back; bytes of a character that never became whole are dropped."""
        final, self._held = self._held, ""
        return final

    def _possible_stop(self) -> int:
        """Length of the longest end of the held text that a stop text could begin with."""
        longest = max((len(text) - 1 for text in self._stop), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-length:]) for text in self._stop):
                return length
        return 0
