"""What an agent answers before it has its file of runs: why it waits."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from milepost.agent.v1 import agent_pb2

Context = grpc.aio.ServicerContext[Any, Any]

OURS = "/milepost."
GET_AGENT = "/milepost.agent.v1.AgentService/GetAgent"


class StandbyServicer(grpc.GenericRpcHandler):
    """Stands in for every service of the agent, whatever their methods are."""

    def __init__(self, workflow: str, reason: Callable[[], str]) -> None:
        self._workflow = workflow
        self._reason = reason

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if not method.startswith(OURS):
            return None
        if method == GET_AGENT:
            return grpc.unary_unary_rpc_method_handler(
                self._get_agent,
                agent_pb2.GetAgentRequest.FromString,
                agent_pb2.GetAgentResponse.SerializeToString,
            )
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _get_agent(self, request: agent_pb2.GetAgentRequest, context: Context) -> agent_pb2.GetAgentResponse:
        return agent_pb2.GetAgentResponse(workflow=self._workflow, store=agent_pb2.StoreStatus(failure=self._reason()))

    async def _refuse(self, requests: Any, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, self._reason())
