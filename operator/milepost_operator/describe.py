"""Asking a model service what it really serves, beside the reconciling: an answer comes when it comes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from milepost_operator.cache import ResourceKey
from milepost_operator.observation import Description

TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 3600.0
_PARALLEL = 4
_Version = tuple[str, int]

log = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[Description | None]]


async def ask_model(target: str) -> Description | None:
    """DescribeModel of the service at `target`; None if it does not answer in time or serves no model."""
    # They take 12 MB, which an operator outside the cluster, or one without models, does not need.
    import grpc  # noqa: PLC0415

    from milepost.model.v1 import model_pb2, model_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        try:
            answer = await stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.debug("Asked %s what it serves: %s", target, error.code().name)
            return None
    return Description(
        digest=f"sha256:{answer.sha256}" if answer.sha256 else "",
        context_tokens=answer.context_tokens,
        sequences=answer.sequences,
        threads=answer.threads,
        weights_bytes=answer.size_bytes,
        kv_bytes_per_token=getattr(answer, "kv_bytes_per_token", 0),
    )


class Describer:
    """Asks each service once for each version of its spec, again only after failures, and then ever more rarely."""

    def __init__(self, tell: Callable[[ResourceKey], None], ask: Ask = ask_model) -> None:
        self._tell = tell
        self._ask = ask
        self._known: dict[ResourceKey, tuple[_Version, Description]] = {}
        self._pending: dict[ResourceKey, asyncio.Task[None]] = {}
        self._failures: dict[ResourceKey, tuple[_Version, int, float]] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def known(self, key: ResourceKey, version: _Version) -> Description | None:
        """What it said; `version` is the resource's uid and generation."""
        found = self._known.get(key)
        return found[1] if found is not None and found[0] == version else None

    def want(self, key: ResourceKey, version: _Version, target: str) -> None:
        """Sees to it that the service is asked, and that its resource is looked at again when it has answered."""
        if key in self._pending or self.known(key, version) is not None:
            return
        failed, _, due = self._failures.get(key, (version, 0, 0.0))
        if failed == version and asyncio.get_running_loop().time() < due:
            return
        self._pending[key] = asyncio.create_task(self._fetch(key, version, target), name=f"describe {key}")

    def forget(self, key: ResourceKey) -> None:
        """The resource is gone."""
        self._known.pop(key, None)
        self._failures.pop(key, None)
        if key in self._pending:
            self._pending[key].cancel()

    async def _fetch(self, key: ResourceKey, version: _Version, target: str) -> None:
        try:
            async with self._slots:
                answer = await self._ask(target)
        finally:
            del self._pending[key]
        if answer is not None:
            self._known[key] = (version, answer)
            self._failures.pop(key, None)
            self._tell(key)
            return
        failed, failures, _ = self._failures.get(key, (version, 0, 0.0))
        failures = failures + 1 if failed == version else 1
        wait = min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2 ** (failures - 1))
        self._failures[key] = (version, failures, asyncio.get_running_loop().time() + wait)
