"""Sleeping until a time of the day, which may be set anew meanwhile."""

import asyncio
from collections.abc import Callable


async def sleep_until(when: float, now: Callable[[], float], look: float) -> None:
    """Returns at `when`, in seconds since the epoch; the clock is looked at again every `look` seconds."""
    while (left := when - now()) > 0:  # noqa: ASYNC110 - a clock tells no event
        await asyncio.sleep(min(left, look))
