"""Drives a compiled graph from checkpoint to checkpoint on LangGraph's own loop, without callbacks, tracers, streams.

LangGraph's loop decides everything that a checkpoint holds: which task is next, its id, what its writes change, how a
run is resumed or interrupted. Only what happens around it is ours (docs/adr/0007): a task is awaited where it stands,
and what is to be saved goes straight into the store's queue. What the next checkpoint would delete in the same commit,
where the store keeps only the latest, is not stored at all: the writes of a task that finished, and the checkpoint of
a run's input.
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, cast
from weakref import WeakMethod

from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._constants import CONF, CONFIG_KEY_RUNTIME
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel._loop import AsyncPregelLoop, PregelLoop
from langgraph.pregel._runner import PregelRunner
from langgraph.runtime import RunControl, Runtime
from langgraph.types import PregelExecutableTask

from milepost_agent.store import CheckpointSaver

AnyGraph = CompiledStateGraph[Any, Any, Any, Any]


class Driver:
    """Drives runs of one graph, any number at once.

    A superstep is one task: no parallel nodes, no subgraphs, no policies of LangGraph's for retries, timeouts, caches
    or error handlers; nodes do that themselves, durably.
    """

    def __init__(self, graph: AnyGraph) -> None:
        """Raises ValueError for a graph that asks for what is not driven here."""
        if not isinstance(graph.checkpointer, CheckpointSaver):
            raise ValueError("the graph is not checkpointed by the store")
        for name, node in graph.nodes.items():
            policies = (node.retry_policy, node.timeout, node.cache_policy, node.error_handler_node, node.subgraphs)
            if any(policies):
                raise ValueError(f"node {name} has a policy or a subgraph; allowed: plain nodes")
        self.graph = graph
        self._saver = graph.checkpointer

    async def drive(
        self,
        given: Any,
        config: Any,
        *,
        context: Any = None,
        control: RunControl | None = None,
        fresh: bool = False,
    ) -> dict[str, Any]:
        """Drives a run until it ends or is interrupted; as `graph.ainvoke` with `durability="sync"`.

        Args:
            given: The first state, a `Command`, or None to go on from the last checkpoint.
            config: With the run's `thread_id`, and a `recursion_limit`.
            context: What nodes find as `runtime.context`.
            control: Asks it to stop between two steps.
            fresh: The thread was never driven, so that nothing is looked up.

        Returns:
            The values of the channels.

        Raises:
            GraphDrained: it was asked to stop, and did.
            GraphRecursionError: it took more supersteps than `recursion_limit`.
            StoreError: a step could not be stored.
        """
        # Without what LangGraph adds for tracers: each task would carry a copy of it.
        runtime: Runtime[Any] = Runtime(context=context, control=control or RunControl())
        config = {"tags": [], "metadata": {}, **config, CONF: {**config[CONF], CONFIG_KEY_RUNTIME: runtime}}
        async with _Loop(self.graph, self._saver, given, config, fresh) as loop:
            await loop.run()
        if loop.status == "out_of_steps":
            raise GraphRecursionError(f"more than {config['recursion_limit']} supersteps")
        if loop.status == "draining":
            raise GraphDrained((loop.control and loop.control.drain_reason) or "shutdown")
        return cast("dict[str, Any]", loop.output)


class _Loop(AsyncPregelLoop):
    """LangGraph's loop of one run, whose saves begin where they are asked for, without a task for each."""

    def __init__(self, graph: AnyGraph, saver: CheckpointSaver, given: Any, config: Any, fresh: bool) -> None:
        # Not AsyncPregelLoop's: it inspects the saver's signature anew for every run.
        PregelLoop.__init__(
            self,
            given,
            stream=None,
            config=config,
            store=None,
            cache=None,
            checkpointer=None if fresh else saver,
            nodes=graph.nodes,
            specs=graph.channels,
            output_keys=graph.output_channels,
            input_keys=graph.input_channels,
            stream_keys=graph.stream_channels_asis,
            interrupt_before=graph.interrupt_before_nodes,
            interrupt_after=graph.interrupt_after_nodes,
            trigger_to_nodes=graph.trigger_to_nodes,
            durability="sync",
            migrate_checkpoint=graph._migrate_checkpoint,
        )
        self.stack = AsyncExitStack()
        self.checkpointer_get_next_version = saver.get_next_version
        self.checkpointer_put_writes = self._begin_put_writes
        self.checkpointer_put_writes_accepts_task_path = True
        self._saver = saver
        self._begun: list[asyncio.Future[None]] = []
        # The values of a DeltaChannel are spread over writes and checkpoints.
        self._supersedes = not saver.history and not self._delta_channel_names
        self._input: tuple[Any, Any, Any] | None = None
        self._finished: PregelExecutableTask | None = None
        self._known: tuple[str, ...] | None = None
        self._put_last: str | None = None
        self._commit = PregelRunner(submit=None, put_writes=WeakMethod(self.put_writes)).commit  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.checkpointer = self._saver
        return self

    async def run(self) -> None:
        """Supersteps until there is none left, each stored before the next one begins."""
        if self._supersedes and not self._has_persisted_parent:
            self._known = ()
        try:
            while self.tick():
                if len(self.tasks) != 1:
                    raise NotImplementedError(f"{len(self.tasks)} tasks in one superstep; allowed: 1")
                for task in self.tasks.values():
                    if not task.writes:  # else it was done before the process died
                        await self._execute(task)
                self.after_tick()
                await self._stored()
        except Exception:
            await self._stored()
            raise
        await self._stored()

    async def _execute(self, task: PregelExecutableTask) -> None:
        token = var_child_runnable_config.set(task.config)
        try:
            value = task.input
            for part in getattr(task.proc, "steps", (task.proc,)):
                value = await part.ainvoke(value, task.config)
        except Exception as error:
            self._commit(task, error)
            raise
        finally:
            var_child_runnable_config.reset(token)
        self._finished = task
        if not self._supersedes:
            self._keep()

    def _keep(self) -> None:
        """Begins to store what waited for the checkpoint that makes it needless, where that does not come."""
        given, self._input = self._input, None
        task, self._finished = self._finished, None
        if given is not None:
            self._begin(self._begin_put, *given)
        if task is not None:
            self._commit(task, None)

    async def _stored(self) -> None:
        """Waits until everything that was begun is stored. Raises StoreError when something could not be."""
        self._keep()
        begun, self._begun = self._begun, []
        try:
            if begun:
                await begun[-1]  # the store goes by order: what began before it is settled too
            if self._supersedes and self._put_last is not None:
                self._known = (self._put_last,)
        finally:
            for each in begun:
                if each.done() and not each.cancelled():
                    each.exception()  # the checkpoint after a write that was refused is refused for that reason

    def _begin(self, save: Any, *arguments: Any) -> "asyncio.Future[None] | None":
        future: asyncio.Future[None] | None = save(*arguments)
        if future is not None:
            self._begun.append(future)
        return future

    def _begin_put_writes(self, *arguments: Any) -> "asyncio.Future[None]":
        self._keep()
        return self._saver.begin_put_writes(*arguments)

    def _begin_put(
        self, config: Any, checkpoint: Any, metadata: Any, task_id: str | None = None
    ) -> "asyncio.Future[None]":
        known, self._known = self._known, None
        self._put_last = checkpoint["id"]
        return self._saver.begin_put(config, checkpoint, metadata, known=known, finished=task_id)

    @property
    def submit(self) -> Any:
        return self._begin

    @submit.setter
    def submit(self, _: Any) -> None:
        """LangGraph's executor, which would make a task of each save, is not used."""

    def _checkpointer_put_after_previous(  # type: ignore[override]
        self, previous: Any, delta_writes: Any, config: Any, checkpoint: Any, metadata: Any, versions: Any
    ) -> "asyncio.Future[None] | None":
        if self._supersedes and metadata["source"] == "input":
            self._input = (config, checkpoint, metadata)  # the first task is LangGraph's own, and waits for nothing
            return None
        task, self._finished, self._input = self._finished, None, None
        return self._begin_put(config, checkpoint, metadata, None if task is None else task.id)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self.stack.__aexit__(kind, error, trace)
