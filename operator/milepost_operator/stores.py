"""Asking an agent that is not ready whether it can write."""

import logging

from milepost_operator.cache import ResourceKey
from milepost_operator.names import AGENT_PORT, headless_name
from milepost_operator.observation import Object

TIMEOUT_SECONDS = 2.0

log = logging.getLogger(__name__)


def agent_target(key: ResourceKey, pod: Object) -> str:
    """Where the agent of a pod is called."""
    return f"{pod['metadata']['name']}.{headless_name(key.name)}.{key.namespace}.svc:{AGENT_PORT}"


async def ask_agent(target: str) -> str:
    """Why the agent at `target` cannot write, in one line; empty when it can, or does not answer in time."""
    # They take 12 MB, which an operator outside the cluster, or one whose agents are all well, does not need.
    import grpc  # noqa: PLC0415

    from milepost.agent.v1 import agent_pb2, agent_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            answer = await stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.debug("Asked %s whether it can write: %s", target, error.code().name)
            return ""
    return str(answer.store.failure)
