"""The observability mode that this process is in, and how callers pass theirs on to the services that they use.

In `shipping` a process emits spans. In `debug` it emits metrics and logs as well, and logs in detail.

What decides, the first that says something:

1. of an agent: a person (`SetObservability`, `milepost obs`, the UI) or a detected crash, as `observability_rules`
   of the agent describes it;
2. of a service: a caller in debug, for as long as its calls say, and `LONGEST` seconds after the last one at most;
3. of an agent: the file `MILEPOST_OBSERVABILITY_FILE`, from a change of it on while the process runs;
4. of any process: `MILEPOST_OBS_MODE`, then `OBS_MODE`, of its environment;
5. of an agent: that file as it was found. The operator and `milepost up` write `spec.observability.mode` into it: in a
   cluster it is a key of the workflow's ConfigMap, on one machine `observability` in the folder of the agent;
6. of an agent without the file: `spec.observability.mode` of its workflow;
7. `shipping`.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable
from typing import Final, Literal

Mode = Literal["shipping", "debug"]
Listener = Callable[[Mode], None]

LONGEST: Final = 600
"""Seconds that one call can keep a service in debug."""
_HEARD: Final = re.compile(r"debug(?:;seconds=([0-9]{1,9}))?")


class ProcessMode:
    """What is in force in this process, from a decision of its own and from what its callers say.

    To be used on one event loop. Times are those of `now`, which never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._own: Mode = "shipping"
        self._own_end = math.inf
        self._heard_end = -math.inf
        self._told: Mode = "shipping"
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def mode(self) -> Mode:
        return "debug" if self._remaining() > 0 else "shipping"

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tells the listener the mode now and at each change; returns what ends that."""
        self._listeners.append(listener)
        listener(self._told)
        return lambda: self._listeners.remove(listener)

    def decide(self, mode: Mode, seconds: float = math.inf) -> None:
        """What this process decides by itself, for so long; it decides anew before that is over."""
        self._own = mode
        self._own_end = self._now() + seconds
        self._stop_timer()
        self._tell()

    def hear(self, value: str) -> None:
        """Follows a caller, as the metadata of its call says; what means nothing is passed over."""
        seconds = _seconds(value)
        if seconds:
            self._heard_end = max(self._heard_end, self._now() + seconds)
            self._tell()

    def header(self) -> str:
        """What goes out with calls: empty in shipping, else with the seconds that debug still lasts.

        Rounded down, so that services that call each other in a circle come to an end.
        """
        seconds = int(min(max(self._remaining(), 0), LONGEST))
        return f"debug;seconds={seconds}" if seconds > 0 else ""

    def close(self) -> None:
        """Forgets what callers said and what was decided; the listeners stay."""
        self._heard_end = -math.inf
        self.decide("shipping")

    def _remaining(self) -> float:
        """Seconds that debug still lasts, from what was decided or heard, whichever is longer."""
        own = self._own_end if self._own == "debug" else -math.inf
        return max(own, self._heard_end) - self._now()

    def _tell(self) -> None:
        remaining = self._remaining()
        if self._timer is None and 0 < remaining < math.inf:
            self._timer = asyncio.get_running_loop().call_later(remaining, self._look_again)
        if self.mode != self._told:
            self._told = self.mode
            for listener in self._listeners[:]:
                listener(self._told)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        self._timer = None
        self._tell()


def _seconds(value: str) -> int:
    """Seconds that the value of the metadata asks for; 0 when it asks for nothing, or means nothing."""
    found = _HEARD.fullmatch(value)
    if found is None:
        return 0
    return LONGEST if found[1] is None else min(int(found[1]), LONGEST)


process_mode: Final = ProcessMode()
"""That of this process."""
