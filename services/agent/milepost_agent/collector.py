"""How often the process looks for cycles of garbage: not while it starts, and seldom while it drives runs."""

import gc
from typing import Final

YOUNG: Final = 50_000
"""Objects made since the last look. Python's own 700 are made by every step, while hundreds of runs keep theirs."""


def pause() -> None:
    """Makes no looks until `relax`: what a process makes while it starts stays."""
    gc.disable()


def relax() -> None:
    """Takes what the process has made until now out of every later look, and looks less often.

    A look goes through the objects of all runs that are under way, so at Python's own pace looks take a tenth of the
    time of a step.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    gc.enable()
