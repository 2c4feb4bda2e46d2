"""What the owner's thread does between two commands: begin what finds room, compute one batch, hand out its logits."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from milepost_model.context import Context
from milepost_model.errors import EngineError, QueueFullError, WorkCancelledError
from milepost_model.job import Job
from milepost_model.kv_cache import KvSequence
from milepost_model.scheduler import Scheduler, Slice, computed

_log = logging.getLogger(__name__)

Computed = tuple[KvSequence | None, Sequence[int]]
"""A sequence and its rows of logits in the batch just computed; None when only another task's end is told of."""
Steps = Generator[None, Computed, Any]
"""Work on one request. It leaves pending tokens in its sequences and yields until they are computed."""


@dataclass(eq=False)
class Task:
    """A request for text or scores."""

    job: Job[Any]
    prompt: Sequence[int]
    reserved: int
    work: Callable[[KvSequence], Steps]


@dataclass(eq=False)
class Aside:
    """A request that needs no room in the KV cache: `work` goes on by one step between two batches."""

    job: Job[Any]
    work: Generator[None, None, Any]


class Batcher:
    """All requests of one model. At most `queue_size` wait besides those that found room."""

    def __init__(self, context: Context | None, scheduler: Scheduler[Task] | None, *, queue_size: int) -> None:
        self.prefilled_tokens = 0
        """Tokens of prompts computed since the start, those of cancelled requests included."""
        self._context = context
        self._scheduler = scheduler
        self._queue_size = queue_size
        self._running: dict[KvSequence, tuple[Task, Steps]] = {}
        self._asides: deque[Aside] = deque()
        self._queues: list[deque[Any]] = [self._asides, *([scheduler.waiting] if scheduler else [])]
        self._typical_seconds = 1.0

    def submit(self, request: Task | Aside) -> None:
        """A task begins as soon as it finds room, what is done aside when those before it have ended."""
        self._drop_cancelled()
        if isinstance(request, Aside):
            self._asides.append(request)
            self._refuse(self._asides, len(self._asides) - 1 - self._queue_size)
            return
        assert self._scheduler is not None, "only a model that makes text takes tasks"
        self._scheduler.waiting.append(request)
        self._admit()
        self._refuse(self._scheduler.waiting, len(self._scheduler.waiting) - self._queue_size)

    def step(self) -> bool:
        """One batch and one step aside; false when there is nothing left to do."""
        try:
            self._drop_cancelled()
            self._step_aside()
            if self._scheduler is not None:
                self._admit()
                self._compute()
        except Exception as error:  # a caller must never wait for a thread that has ended
            _log.exception("a batch failed")
            self.close(EngineError(f"the batch failed: {error}"))
        return bool(self._running) or any(self._queues)

    def close(self, error: BaseException | None = None) -> None:
        """Ends everything with `error`; without one, nobody waits for it any more."""
        ended = error or WorkCancelledError()
        for trunk, (_, steps) in list(self._running.items()):
            steps.close()
            self._end(trunk, ended, keep=False)
        for queue in self._queues:
            while queue:
                queue.popleft().job.end(ended)

    def _drop_cancelled(self) -> None:
        for trunk, (task, steps) in list(self._running.items()):
            if task.job.is_cancelled:
                steps.close()
                self._end(trunk, WorkCancelledError())
        for queue in self._queues:
            for request in [each for each in queue if each.job.is_cancelled]:
                queue.remove(request)
                request.job.end(WorkCancelledError())

    def _refuse(self, queue: deque[Any], too_many: int) -> None:
        for _ in range(too_many):
            refused = queue.pop()
            seconds = self._typical_seconds * (len(queue) + 1) / max(1, len(self._running))
            refused.job.end(QueueFullError(self._queue_size, min(60.0, max(0.1, seconds))))

    def _admit(self) -> None:
        assert self._scheduler is not None
        for task, trunk in self._scheduler.admit():
            task.job.started = time.monotonic()
            self._running[trunk] = task, task.work(trunk)
            self._go_on(trunk)

    def _step_aside(self) -> None:
        if not self._asides:
            return
        job, work = self._asides[0].job, self._asides[0].work
        job.started = job.started or time.monotonic()
        try:
            next(work)
        except StopIteration as ended:
            job.end(ended.value)
        except Exception as error:  # the caller decides what it means
            job.end(error)
        else:
            return
        self._asides.popleft()

    def _compute(self) -> None:
        assert self._scheduler is not None
        batch = self._scheduler.next_batch()
        trunks = {_trunk_of(part) for part in batch}
        for part, rows in zip(batch, self._rows_of(batch, trunks), strict=True):
            if rows and _trunk_of(part) in self._running:
                self._go_on(_trunk_of(part), (part.sequence, rows))
        for trunk in set(self._running) - trunks:
            if not trunk.pending:  # it had to wait for the end of another
                self._go_on(trunk, (None, ()))

    def _rows_of(self, batch: Sequence[Slice], trunks: set[KvSequence]) -> Sequence[Sequence[int]]:
        """Rows of logits of each slice, once all are computed; none when that failed or nobody waits for it."""
        assert self._context is not None
        nothing: list[Sequence[int]] = [()] * len(batch)
        if not batch:
            return nothing
        try:
            rows = self._context.compute(
                batch, lambda: all(self._running[trunk][0].job.is_cancelled for trunk in trunks)
            )
        except WorkCancelledError:
            return nothing
        except EngineError as error:
            for trunk in trunks:
                self._running[trunk][1].close()
                self._end(trunk, error, keep=False)
            return nothing
        for part in batch:
            read = len(part.sequence.prompt) - len(part.sequence.tokens)
            self.prefilled_tokens += max(0, min(part.count, read))
            computed(part)
        return rows

    def _go_on(self, trunk: KvSequence, news: Computed | None = None) -> None:
        try:
            steps = self._running[trunk][1]
            steps.send(news) if news else next(steps)
        except StopIteration as ended:
            self._end(trunk, ended.value)
        except Exception as error:  # the caller decides what it means
            self._end(trunk, error)

    def _end(self, trunk: KvSequence, result: Any, *, keep: bool = True) -> None:
        assert self._scheduler is not None
        task, _ = self._running.pop(trunk)
        self._scheduler.ended(trunk, keep=keep)
        if not isinstance(result, BaseException):
            taken = time.monotonic() - task.job.started
            self._typical_seconds += 0.3 * (taken - self._typical_seconds)
        task.job.end(result)


def _trunk_of(part: Slice) -> KvSequence:
    return part.sequence.trunk or part.sequence
