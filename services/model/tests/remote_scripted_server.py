"""A server of the OpenAI API that does as it is told, as a process of its own: one line of JSON a behaviour.

`PUT /script` sets the behaviours by path: a list that answers one request each, the last one all further ones.
`GET /seen` tells the requests so far: headers, body, and whether the client went away before the answer was whole.
A behaviour is an object: `status`, `headers`, `body` (JSON, or text where it is a string), `events` (a stream of
events, each an object or a text), `cut` (the connection is closed after that), `stall` (nothing more comes until the
client goes away), `hold` (the answer waits until `POST /release`).
"""

import asyncio
import json
import sys
from typing import Any

Behaviour = dict[str, Any]
CHAT = "/v1/chat/completions"


class Script:
    def __init__(self) -> None:
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.seen: list[dict[str, Any]] = []
        self.released = asyncio.Event()

    def next(self, path: str) -> Behaviour:
        waiting = self.behaviours.get(path, [])
        if not waiting:
            return {"status": 404, "body": {"error": {"message": f"nothing is scripted for {path}"}}}
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    headers = {name.lower(): value for name, value in headers.items()}
    return method, path, headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def serve(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while request := await read_request(reader):
            method, path, headers, body = request
            if path == "/script":
                script.behaviours = json.loads(body)
                script.seen.clear()
                script.released.clear()
                answer(writer, {"body": {}})
            elif path == "/seen":
                answer(writer, {"body": script.seen})
            elif path == "/release":
                script.released.set()
                answer(writer, {"body": {}})
            else:
                entry = {"path": path, "method": method, "headers": headers, "gone": False}
                entry["body"] = json.loads(body) if body else None
                script.seen.append(entry)
                if not await behave(script, script.next(path), reader, writer, entry):
                    return
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def behave(
    script: Script,
    behaviour: Behaviour,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    entry: dict[str, Any],
) -> bool:
    """Whether the connection goes on."""
    if behaviour.get("hold"):
        await script.released.wait()
    if "events" not in behaviour:
        if not behaviour.get("stall"):
            answer(writer, behaviour)
    else:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in behaviour["events"]:
            chunk(writer, f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode())
    await writer.drain()
    if behaviour.get("stall"):
        entry["gone"] = await reader.read(1) == b""
        return False
    if behaviour.get("cut"):
        return False
    if "events" in behaviour:
        writer.write(b"0\r\n\r\n")
    return True


def chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def answer(writer: asyncio.StreamWriter, behaviour: Behaviour) -> None:
    body = behaviour.get("body", {})
    is_text = isinstance(body, str)
    data = body.encode() if is_text else json.dumps(body).encode()
    headers = {"content-type": "text/html" if is_text else "application/json", "content-length": str(len(data))}
    headers |= behaviour.get("headers", {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {behaviour.get('status', 200)} Scripted\r\n{lines}\r\n".encode() + data)


async def main() -> None:
    script = Script()
    server = await asyncio.start_server(lambda r, w: serve(script, r, w), "127.0.0.1", 0, limit=2**22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it has gone


if __name__ == "__main__":
    asyncio.run(main())
