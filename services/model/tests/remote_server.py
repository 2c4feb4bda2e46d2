"""The scripted server as tests see it, and the shapes of answers of the OpenAI API."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
LISTED = {"body": {"data": [{"id": "large", "max_model_len": 4096}]}}
DONE = "[DONE]"


class ScriptedServer:
    """Answers as it is told; `seen` has the requests since it was told last."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def tell(self, *chat: Mapping[str, Any], **others: list[Mapping[str, Any]]) -> None:
        """Sets what answers chats, one behaviour a request, and other endpoints by the last part of their path."""
        script = {MODELS: [LISTED], CHAT: list(chat)} | {f"/v1/{name}": each for name, each in others.items()}
        self._call("PUT", "/script", script)

    def seen(self, path: str = CHAT) -> list[dict[str, Any]]:
        return [request for request in self._call("GET", "/seen") if request["path"] == path]

    def release(self) -> None:
        """Lets answers go that are held."""
        self._call("POST", "/release")

    def _call(self, method: str, path: str, data: Any = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, method=method), timeout=60) as answer:
            return json.load(answer)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    command = [sys.executable, str(Path(__file__).with_name("remote_scripted_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield ScriptedServer(int(process.stdout.readline()))
        process.kill()


def part(text: str, ended: str | None = None) -> dict[str, Any]:
    """One event of a stream."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": ended}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"choices": [], "usage": counted}


def stream(*texts: str) -> dict[str, Any]:
    """A whole answer in these parts, of 7 and 2 tokens."""
    return {"events": [*map(part, texts), part("", "stop"), usage(7, 2), DONE]}


def whole(text: str, likely: Mapping[str, float] | None = None) -> dict[str, Any]:
    """An answer that is no stream, with the log-probabilities of its first token if there are any."""
    places = [{"token": token, "logprob": value} for token, value in (likely or {}).items()]
    told = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": places}]} if likely else None
    message = {"role": "assistant", "content": text}
    return {"body": usage(9, 1) | {"choices": [{"index": 0, "message": message, "logprobs": told}]}}


def failure(status: int, message: str = "no", **headers: str) -> dict[str, Any]:
    """An error as the OpenAI API tells it; `_` in the names of headers is a hyphen."""
    body = {"error": {"message": message, "type": "error", "code": None}}
    return {"status": status, "body": body, "headers": {name.replace("_", "-"): text for name, text in headers.items()}}
