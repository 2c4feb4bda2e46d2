"""One owner of a file of runs at a time: a call of a displaced one is refused before any work."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from milepost_service.caller import Caller
from milepost_service.errors import FailedPreconditionError
from milepost_service.interceptors import AroundInterceptor, IncomingCall

KEPT_OWNERS = 10_000


class DisplacedError(FailedPreconditionError):
    """The caller is no longer the owner of its file of runs."""

    def __init__(self, owner: str, epoch: int, higher: int) -> None:
        super().__init__(f"epoch {epoch} of {owner} is displaced by epoch {higher}")


class Fence:
    """The highest epoch seen of each owner; the owners not heard of for the longest time leave when it is full."""

    def __init__(self, kept: int = KEPT_OWNERS) -> None:
        self._kept = kept
        self._epochs: OrderedDict[str, int] = OrderedDict()

    def admit(self, owner: str, epoch: int) -> bool:
        """Whether this epoch displaces a lower one. Raises DisplacedError when a higher one was seen."""
        highest = self._epochs.get(owner, epoch)
        if epoch < highest:
            raise DisplacedError(owner, epoch, highest)
        self._epochs[owner] = epoch
        self._epochs.move_to_end(owner)
        while len(self._epochs) > self._kept:
            self._epochs.popitem(last=False)
        return epoch > highest


class FenceInterceptor(AroundInterceptor):
    """Refuses each call of a lower epoch; `displace(owner, epoch)` hears of a higher one before the call begins."""

    def __init__(self, fence: Fence, displace: Callable[[str, int], None]) -> None:
        self._fence = fence
        self._displace = displace

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        caller = Caller.of(call.context.invocation_metadata())
        if caller.owner and caller.epoch is not None and self._fence.admit(caller.owner, caller.epoch):
            self._displace(caller.owner, caller.epoch)
        yield
