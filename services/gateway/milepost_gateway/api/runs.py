"""Runs: listed, looked at, started."""

import re
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import grpc.aio
from starlette.responses import StreamingResponse

from milepost.agent.v1 import agent_pb2
from milepost_gateway.agent import LASTING_SECONDS, Agent
from milepost_gateway.api.inputs import EventsQuery, PageQuery, RunsQuery, StartRun
from milepost_gateway.api.whereabouts import Whereabouts, ranked
from milepost_gateway.endpoint import JSON, Call, Endpoint, Nothing
from milepost_gateway.errors import ApiError, refusal
from milepost_gateway.fleet import Fleet
from milepost_gateway.journal import dump
from milepost_gateway.paging import Part, Source, merged
from milepost_gateway.schema import FLAG, INTEGER, TEXT, extended, listing, message, nullable, record
from milepost_gateway.version import version
from milepost_service.json_form import iso_time, to_json

EVENTS_BYTES = 16 * 1024 * 1024
EVENTS_SECONDS = 20.0
EXPORT_FORMAT = "milepost.run/v1"
RUN = message(agent_pb2.Run)
RUN_WITH_AGENT = extended(agent_pb2.Run, agent=TEXT)
STORED_MESSAGE = extended(agent_pb2.StoredMessage, agent=TEXT)
GRAPH = nullable(message(agent_pb2.WorkflowGraph))
EVENTS = listing(message(agent_pb2.RunEvent))
MESSAGES = record(messages=listing(STORED_MESSAGE), next_page_token=TEXT, unreachable=listing(TEXT))


class RunReads:
    def __init__(self, fleet: Fleet, where: Whereabouts) -> None:
        self._fleet = fleet
        self._where = where

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/api/runs",
                "listRuns",
                "Runs of all agents, newest first",
                self.list_runs,
                record(runs=listing(RUN_WITH_AGENT), next_page_token=TEXT, unreachable=listing(TEXT)),
                query=RunsQuery,
            ),
            Endpoint(
                "POST",
                "/api/runs",
                "startRun",
                "Starts a run; answers when it is committed",
                self.start,
                record(run=RUN, agent=TEXT, existing=FLAG),
                body=StartRun,
            ),
            Endpoint(
                "GET",
                "/api/runs/{run_id}",
                "getRun",
                "One run, with its hops and the graph that it follows",
                self.get,
                record(run=RUN, graph=GRAPH, process_starts=EVENTS, agent=TEXT),
            ),
            Endpoint(
                "GET",
                "/api/runs/{run_id}/events",
                "listEvents",
                "The journal of a run, oldest first",
                self.events,
                record(events=EVENTS, last_sequence=INTEGER, more=FLAG),
                query=EventsQuery,
            ),
            Endpoint(
                "GET",
                "/api/runs/{run_id}/messages",
                "listRunMessages",
                "All messages of a run, oldest first",
                self.messages_of,
                MESSAGES,
            ),
            Endpoint(
                "GET",
                "/api/runs/{run_id}/export",
                "exportRun",
                "A run with all that is known of it, as one file",
                self.export,
                record(
                    format=TEXT,
                    exported_at=TEXT,
                    version=TEXT,
                    agent=TEXT,
                    run=RUN,
                    graph=GRAPH,
                    process_starts=EVENTS,
                    messages=listing(STORED_MESSAGE),
                    events=EVENTS,
                ),
            ),
            Endpoint(
                "GET",
                "/api/messages",
                "listMessages",
                "Messages of all runs, newest first",
                self.all_messages,
                MESSAGES,
                query=PageQuery,
            ),
        ]

    async def list_runs(self, call: Call[RunsQuery, Nothing]) -> dict[str, Any]:
        query = call.query
        agents = self._fleet.of_workflow(query.workflow) if query.workflow else self._fleet.agents

        async def fetch(agent: Agent, size: int, token: str) -> Part[agent_pb2.Run]:
            request = agent_pb2.ListRunsRequest(
                page_size=size,
                page_token=token,
                state=f"RUN_STATE_{(query.state or 'unspecified').upper()}",
                outcome=f"RUN_OUTCOME_{_screaming(query.outcome or 'Unspecified')}",
                query=query.q,
            )
            answer = await agent.read(lambda one: one.runs.ListRuns, request)
            return Part(answer.runs, answer.next_page_token)

        source = Source(fetch, lambda run: run.run_id, lambda run: run.create_time.ToNanoseconds())
        page = await merged(source, agents, query.page_size, query.page_token)
        for agent, run in page.items:
            self._where.remember(run.run_id, agent)
        return {
            "runs": [{**to_json(run), "agent": agent.id} for agent, run in page.items],
            "next_page_token": page.token,
            "unreachable": page.unreachable,
        }

    async def start(self, call: Call[Nothing, StartRun]) -> dict[str, Any]:
        body = call.body
        agents = self._fleet.of_workflow(body.workflow)
        if not agents:
            names = sorted({agent.address.workflow for agent in self._fleet.agents})
            raise ApiError("NOT_FOUND", f"workflow: none is called {body.workflow[:80]!r}; there are: {names}")
        name = agents[0].address.workflow
        places = sorted({f"{agent.address.namespace}/{name}" for agent in agents})
        if len(places) > 1:
            raise ApiError("INVALID_ARGUMENT", f"workflow: {name!r} is in several namespaces; allowed: {places}")
        correlation_id = body.correlation_id or str(uuid.uuid4())
        agent = await self._accepting(agents, correlation_id, is_new=not body.correlation_id)
        request = agent_pb2.StartRunRequest(workflow=name, prompt=body.prompt, correlation_id=correlation_id)
        answer = await agent.write(lambda one: one.runs.StartRun, request)
        self._where.remember(answer.run.run_id, agent)
        return {"run": to_json(answer.run), "agent": agent.id, "existing": answer.existing}

    async def _accepting(self, agents: Sequence[Agent], correlation_id: str, *, is_new: bool) -> Agent:
        """The agent that knows the id, else the one that it is hashed to, for a new id one that is there."""
        order = ranked(agents, correlation_id)
        if len(order) == 1:
            return order[0]
        if not is_new:
            try:
                found, _ = await self._where.find(correlation_id)
            except ApiError:
                return order[0]
            return found if found in agents else order[0]
        there = {feed.agent.id for feed in self._fleet.feeds if feed.connected}
        return next((agent for agent in order if agent.id in there), order[0])

    async def get(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        agent, found = await self._where.find(call.path["run_id"])
        form = to_json(found)
        return {**form, "agent": agent.id}

    async def events(self, call: Call[EventsQuery, Nothing]) -> dict[str, Any]:
        agent, found = await self._where.find(call.path["run_id"])
        events: list[dict[str, Any]] = []
        last, more, size = call.query.after, False, 0
        async with aclosing(_journal(agent, found.run, call.query.after, EVENTS_SECONDS)) as journal:
            async for event in journal:
                if len(events) == call.query.limit or (events and size > EVENTS_BYTES):
                    more = True
                    break
                events.append(to_json(event))
                size += event.ByteSize()
                last = event.sequence
        return {"events": events, "last_sequence": last, "more": more}

    async def messages_of(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        return {"messages": await _messages(agent, call.path["run_id"]), "next_page_token": "", "unreachable": []}

    async def all_messages(self, call: Call[PageQuery, Nothing]) -> dict[str, Any]:
        async def fetch(agent: Agent, size: int, token: str) -> Part[agent_pb2.StoredMessage]:
            request = agent_pb2.ListMessagesRequest(page_size=size, page_token=token)
            answer = await agent.read(lambda one: one.runs.ListMessages, request)
            return Part(answer.messages, answer.next_page_token)

        source = Source(
            fetch,
            lambda stored: f"{stored.run_id} {stored.message.message_id}",
            lambda stored: stored.message.create_time.ToNanoseconds(),
        )
        page = await merged(source, self._fleet.agents, call.query.page_size, call.query.page_token)
        return {
            "messages": [{**to_json(stored), "agent": agent.id} for agent, stored in page.items],
            "next_page_token": page.token,
            "unreachable": page.unreachable,
        }

    async def export(self, call: Call[Nothing, Nothing]) -> StreamingResponse:
        agent, found = await self._where.find(call.path["run_id"])
        form, run = to_json(found), found.run
        head = {
            "format": EXPORT_FORMAT,
            "exported_at": iso_time(time.time()),
            "version": version(),
            "agent": agent.id,
            "run": form["run"],
            "graph": form["graph"],
            "process_starts": form["process_starts"],
            "messages": await _messages(agent, run.run_id),
        }
        return StreamingResponse(
            _exported(head, _journal(agent, run, 0, LASTING_SECONDS)),
            media_type=JSON,
            headers={"Content-Disposition": f'attachment; filename="run-{run.run_id}.json"'},
        )


def _screaming(name: str) -> str:
    """CamelCase as an enum of the contracts has it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


async def _exported(
    head: dict[str, Any], journal: AsyncGenerator[agent_pb2.RunEvent, None]
) -> AsyncGenerator[bytes, None]:
    yield dump(head)[:-1] + b',"events":['
    separator = b"\n"
    async with aclosing(journal):
        async for event in journal:
            yield separator + dump(to_json(event))
            separator = b",\n"
    yield b"\n]}\n"


async def _journal(
    agent: Agent, run: agent_pb2.Run, after: int, seconds: float
) -> AsyncGenerator[agent_pb2.RunEvent, None]:
    """The events of a run as far as it has come now. Raises ApiError."""
    if after >= run.last_sequence:
        return
    try:
        async with aclosing(agent.events(run.run_id, after, seconds)) as events:
            async for event in events:
                yield event
                if event.sequence >= run.last_sequence:
                    return
    except grpc.aio.AioRpcError as error:
        raise refusal(error, agent.id) from None


async def _messages(agent: Agent, run_id: str) -> list[dict[str, Any]]:
    answer = await agent.read(lambda one: one.runs.ListMessages, agent_pb2.ListMessagesRequest(run_id=run_id))
    return [{**to_json(stored), "run_id": stored.run_id or run_id, "agent": agent.id} for stored in answer.messages]
