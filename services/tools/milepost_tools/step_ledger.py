"""What steps in progress have done, so that a step that comes again repeats no completed call."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from milepost.capability.v1 import capability_pb2
from milepost_service.calls import served_call
from milepost_tools.tool import Arguments, Tool

KEPT_STEPS = 256


class PlannedCall(NamedTuple):
    """One call that a step makes."""

    tool: Tool
    arguments: Arguments


@dataclass(frozen=True)
class Choice:
    """The calls to make, and why these, or why none."""

    calls: Sequence[PlannedCall]
    reason: str


@dataclass(frozen=True)
class CompletedCall:
    """A call as it is recorded, its line of the answer, and the messages that it sends."""

    record: capability_pb2.ToolCall
    line: str
    messages: Sequence[capability_pb2.OutgoingMessage] = ()


@dataclass
class Step:
    """One Invoke: its call id, what was chosen, and the calls that are completed, in their order."""

    call_id: str = ""
    choice: Choice | None = None
    completed: list[CompletedCall] = field(default_factory=list)


class StepLedger:
    """Steps by owner, call id and request; at most 256, the oldest leave first.

    An Invoke that fails after a tool was called, because its verdict could not be had, leaves nothing in the memory of
    calls and comes again under the same id: it goes on from here. Bound to one process.
    """

    def __init__(self) -> None:
        self._steps: OrderedDict[tuple[str, str, bytes], Step] = OrderedDict()

    def step(self, request: capability_pb2.InvokeRequest) -> Step:
        """The step of the call that is being served, as far as it came; a new one where the call has no id."""
        served = served_call()
        if served is None:
            return Step()
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        key = (served.key.owner, served.key.call_id, digest)
        step = self._steps.setdefault(key, Step(served.key.call_id))
        self._steps.move_to_end(key)
        if len(self._steps) > KEPT_STEPS:
            self._steps.popitem(last=False)
        return step
