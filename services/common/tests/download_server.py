"""A file server on loopback that misbehaves as it is told to: one behaviour a request, and then it is good."""

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0
"""Seconds after which a behaviour that waits for its test gives up."""


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Offer:
    """What there is to fetch, and by what ETag; an empty one is not sent."""

    data: bytes
    etag: str = '"1"'
    headers: dict[str, str] = field(default_factory=dict)


class DownloadServer:
    """Serves `offer` under every path."""

    def __init__(self, data: bytes) -> None:
        self.offer = Offer(data)
        self.script: deque[Behaviour] = deque()
        self.heads: deque[Behaviour] = deque()
        self.seen: list[Seen] = []
        self.released = threading.Event()
        """Ends every behaviour that waits."""
        self.holding = threading.Event()
        """Set while a behaviour waits."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.offer.data).hexdigest()

    @property
    def gets(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "GET"]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


class Answer(BaseHTTPRequestHandler):
    """One request, with what a behaviour needs to answer it."""

    protocol_version = "HTTP/1.1"
    server_of_test: DownloadServer

    def do_GET(self) -> None:
        self._answer(self.server_of_test.script)

    def do_HEAD(self) -> None:
        self._answer(self.server_of_test.heads)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Sends status and headers, and nothing of a body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def begin_rest(self, *, length: int | None = None) -> bytes:
        """Answers as asked, with the whole or a part, up to its headers; returns the bytes that are due."""
        offer = self.server_of_test.offer
        start = self._start(offer)
        rest = offer.data[start:]
        headers = {"Content-Length": str(len(rest) if length is None else length)} | offer.headers
        headers |= {"ETag": offer.etag} if offer.etag else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(offer.data) - 1}/{len(offer.data)}"
        self.begin(206 if start else 200, headers)
        return rest

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def hold(self) -> None:
        """Waits until the test lets go."""
        self.server_of_test.holding.set()
        self.server_of_test.released.wait(PATIENCE)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def _answer(self, script: deque["Behaviour"]) -> None:
        self.server_of_test.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        try:
            (script.popleft() if script else whole)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _start(self, offer: Offer) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or self.headers.get("If-Range", offer.etag) != offer.etag:
            return 0
        return int(asked[1])


Behaviour = Callable[[Answer], None]


def _handler_of(server: DownloadServer) -> type[Answer]:
    return type("BoundAnswer", (Answer,), {"server_of_test": server})


def whole(answer: Answer) -> None:
    """What a good server does."""
    rest = answer.begin_rest()
    if answer.command == "GET":
        answer.send(rest)


def cut_after(count: int) -> Behaviour:
    """Closes the connection after so many bytes of those that it declared."""

    def behave(answer: Answer) -> None:
        answer.send(answer.begin_rest()[:count])
        answer.close_connection = True

    return behave


def stall_after(count: int) -> Behaviour:
    """Sends so many bytes and then nothing, for as long as the test lasts."""

    def behave(answer: Answer) -> None:
        answer.send(answer.begin_rest()[:count])
        answer.hold()

    return behave


def hold_after(count: int) -> Behaviour:
    """Sends so many bytes, waits until it is let go, and sends the rest."""

    def behave(answer: Answer) -> None:
        rest = answer.begin_rest()
        answer.send(rest[:count])
        answer.hold()
        answer.send(rest[count:])

    return behave


def trickle(count: int) -> Behaviour:
    """Sends so many bytes, and then one now and then until it is let go."""

    def behave(answer: Answer) -> None:
        rest = answer.begin_rest()
        answer.send(rest[:count])
        for at in range(count, len(rest)):
            if answer.server_of_test.released.wait(0.02):
                break
            answer.send(rest[at : at + 1])
        answer.close_connection = True

    return behave


def declaring(length: int) -> Behaviour:
    """Sends everything, and lies about how much that is."""

    def behave(answer: Answer) -> None:
        answer.send(answer.begin_rest(length=length))
        answer.close_connection = True

    return behave


def without_ranges(answer: Answer) -> None:
    """Always sends the whole file."""
    del answer.headers["Range"]
    whole(answer)


def status(code: int, **headers: str) -> Behaviour:
    """Answers with a status and no body; in names of headers an underscore is a hyphen."""

    def behave(answer: Answer) -> None:
        answer.begin(code, {"Content-Length": "0"} | {key.replace("_", "-"): text for key, text in headers.items()})

    return behave


def hub_answer(digest: str, size: int, commit: str = "a" * 40) -> Behaviour:
    """What a Hugging Face Hub says of a file in LFS."""
    location = {"Location": "/storage/m.gguf", "X_Linked_ETag": f'"{digest}"', "X_Linked_Size": str(size)}
    return status(302, **location, X_Repo_Commit=commit)


def changed(data: bytes, etag: str = '"2"') -> Behaviour:
    """From this request on another file is offered."""

    def behave(answer: Answer) -> None:
        answer.server_of_test.offer = Offer(data, etag)
        whole(answer)

    return behave


def unsized(answer: Answer) -> None:
    """Says nothing of the length, and closes the connection at the end."""
    answer.begin(200, {"Connection": "close"})
    answer.send(answer.server_of_test.offer.data)
    answer.close_connection = True
