"""Backups of the agents' files."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc.aio
from starlette.responses import StreamingResponse

from milepost.agent.v1 import backup_pb2
from milepost_gateway.agent import LASTING_SECONDS, Agent
from milepost_gateway.api.inputs import Restore
from milepost_gateway.endpoint import Call, Endpoint, Nothing
from milepost_gateway.errors import ApiError, refusal
from milepost_gateway.fleet import Fleet
from milepost_gateway.schema import FLAG, TEXT, TIME, listing, message, nullable, record
from milepost_service.json_form import to_json

BACKUP = message(backup_pb2.Backup)
FILE = "application/octet-stream"


class Backups:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def endpoints(self) -> list[Endpoint]:
        each = record(agent=TEXT, backups=listing(BACKUP), next_time=nullable(TIME), failure=TEXT, error=TEXT)
        of_agent, one = "/api/agents/{agent}/backups", "/api/agents/{agent}/backups/{backup_id}"
        all_of_them = record(agents=listing(each))
        made = record(backup=BACKUP, existing=FLAG)
        return [
            Endpoint("GET", "/api/backups", "listBackups", "All of them", self.list_all, all_of_them),
            Endpoint("POST", of_agent, "createBackup", "Makes one and verifies it", self.create, made),
            Endpoint("GET", f"{one}/file", "downloadBackup", "The file of one", self.download, media_type=FILE),
            Endpoint(
                "POST",
                f"{one}/restore",
                "restoreBackup",
                "Sets the present file of the agent aside and goes on from this one",
                self.restore,
                record(backup=BACKUP),
                body=Restore,
            ),
        ]

    async def list_all(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        return {"agents": await asyncio.gather(*map(_list, self._fleet.agents))}

    async def create(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        agent = self._fleet.agent(call.path["agent"])
        answer = await agent.read(
            lambda one: one.backups.CreateBackup, backup_pb2.CreateBackupRequest(), LASTING_SECONDS
        )
        return {"backup": to_json(answer.backup), "existing": answer.existing}

    async def download(self, call: Call[Nothing, Nothing]) -> StreamingResponse:
        agent, backup_id = self._fleet.agent(call.path["agent"]), call.path["backup_id"]
        parts = _parts(agent, backup_id)
        try:
            backup = (await anext(parts)).backup
        except BaseException:
            await parts.aclose()
            raise
        return StreamingResponse(
            _chunks(parts),
            media_type=FILE,
            headers={
                "Content-Length": str(backup.size_bytes),
                "Content-Disposition": f'attachment; filename="{agent.id}-{backup.backup_id}.db"',
            },
        )

    async def restore(self, call: Call[Nothing, Restore]) -> dict[str, Any]:
        agent = self._fleet.agent(call.path["agent"])
        if call.body.confirm != agent.id:
            raise ApiError("INVALID_ARGUMENT", f"confirm: is not the id of the agent; allowed: {agent.id}")
        request = backup_pb2.RestoreBackupRequest(backup_id=call.path["backup_id"])
        answer = await agent.read(lambda one: one.backups.RestoreBackup, request, LASTING_SECONDS)
        return {"backup": to_json(answer.backup)}


async def _list(agent: Agent) -> dict[str, Any]:
    try:
        answer = await agent.read(lambda one: one.backups.ListBackups, backup_pb2.ListBackupsRequest())
    except ApiError as error:
        return {"agent": agent.id, "backups": [], "next_time": None, "failure": "", "error": str(error)}
    return {"agent": agent.id, **to_json(answer), "error": ""}


async def _parts(agent: Agent, backup_id: str) -> AsyncGenerator[backup_pb2.DownloadBackupResponse, None]:
    request = backup_pb2.DownloadBackupRequest(backup_id=backup_id)
    call = agent.backups.DownloadBackup(request, timeout=LASTING_SECONDS)
    try:
        async for part in call:
            yield part
    except grpc.aio.AioRpcError as error:
        raise refusal(error, agent.id) from None
    finally:
        call.cancel()


async def _chunks(parts: AsyncGenerator[backup_pb2.DownloadBackupResponse, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        async for part in parts:
            yield part.chunk
