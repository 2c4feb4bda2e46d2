"""Asking a model service that is not ready yet what it does for that."""

import logging

from milepost_operator.cache import ResourceKey
from milepost_operator.names import SERVICE_PORT
from milepost_operator.observation import Object

TIMEOUT_SECONDS = 2.0
_MARK = " is starting: "
"""Begins, after its name, what a service answers to calls before it serves."""

log = logging.getLogger(__name__)


def service_target(key: ResourceKey, pod: Object) -> str:
    """Where the service of a pod is called, which its Service does not lead to yet; empty without an address."""
    address = str(pod["status"].get("podIP", ""))
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{SERVICE_PORT}" if host else ""


async def ask_starting(target: str) -> str:
    """What the service at `target` is busy with, in one line; empty for nothing, or when it does not answer in time."""
    # They take 12 MB, which an operator outside the cluster, or one without such services, does not need.
    import grpc  # noqa: PLC0415

    from milepost.model.v1 import model_pb2, model_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            await stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.debug("Asked %s what it is busy with: %s", target, error.code().name)
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return str(error.details() or "").partition(_MARK)[2]
    return ""
