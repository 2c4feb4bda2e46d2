"""The HTTP endpoints as any client sees them: bad input, full queues, clients that go or do not read, and the end."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from milepost_model.http.body import BODY_BYTES
from milepost_service.testing import ServiceProcess, free_port, running

pytestmark = [pytest.mark.models, pytest.mark.requirement("MOD-2")]

PATIENCE = 60.0
LONG = 1_800
STORY = [{"role": "user", "content": "Tell a long story."}]
FILLING = {"model": "smollm2", "prompt": "word " * 300, "max_tokens": 1}
"""Finds no room in the KV cache beside `told(LONG)`."""


def told(max_tokens: int, **more: Any) -> dict[str, Any]:
    return {"model": "smollm2", "messages": STORY, "max_tokens": max_tokens, **more}


@pytest.fixture
async def http(model_service: ServiceProcess, model_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{model_address}", timeout=PATIENCE) as client:
        yield client


async def measured(http: httpx.AsyncClient, name: str) -> float:
    text = (await http.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def until(http: httpx.AsyncClient, name: str, wanted: float) -> None:
    async with asyncio.timeout(PATIENCE):
        while await measured(http, name) != wanted:
            await asyncio.sleep(0.01)


async def test_health_says_ok_and_metrics_have_the_names_of_llama_cpps_server(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).json() == {"status": "ok"}
    before = await measured(http, "llamacpp:tokens_predicted_total")
    (await http.post("/v1/chat/completions", json=told(5))).raise_for_status()
    assert await measured(http, "llamacpp:tokens_predicted_total") == before + 5
    for name in (
        "prompt_tokens_total",
        "n_decode_total",
        "predicted_tokens_seconds",
        "requests_processing",
        "requests_deferred",
    ):
        assert await measured(http, f"llamacpp:{name}") >= 0
    text = (await http.get("/metrics")).text
    assert 'milepost_calls_total{code="200",method="v1/chat/completions"}' in text


async def test_a_request_is_answered_under_its_own_correlation_id(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/models", headers={"X-Correlation-Id": "c-7"})
    assert answer.headers["X-Correlation-Id"] == "c-7"


BROKEN: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no JSON": (b'{"model": ', {}, 400, "body: is not JSON: EOF while parsing"),
    "a list": (b"[]", {}, 400, "Input should be"),
    "nothing": (b"", {}, 400, "body: is not JSON"),
    "nested deeply": (b'{"model":' + b"[" * 100_000, {}, 400, "body: is not JSON: recursion limit exceeded"),
    "half a character": (b'{"model": "\\ud800"}', {}, 400, "body: is not JSON"),
    "a form": (
        b"model=smollm2",
        {"Content-Type": "application/x-www-form-urlencoded"},
        415,
        "allowed: application/json",
    ),
    "too long": (b" " * (BODY_BYTES + 1), {}, 413, f"allowed: {BODY_BYTES} bytes"),
    "no model": (b'{"messages": [{"role": "user", "content": "a"}]}', {}, 400, "model: is missing"),
    "a line break in a name": (b'{"model": "a\\nb", "messages": [{"role": "user"}]}', {}, 404, r"'a\nb' is not served"),
    "a text as number": (
        json.dumps(told(1, temperature="0")).encode(),
        {},
        400,
        "temperature: Input should be a valid",
    ),
    "not a number": (
        b'{"model": "smollm2", "temperature": NaN, "messages": []}',
        {},
        400,
        "temperature: Input should be",
    ),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
async def test_a_body_that_is_none_is_one_line_with_a_status(http: httpx.AsyncClient, case: str) -> None:
    content, headers, status, words = BROKEN[case]
    answer = await http.post(
        "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"} | headers
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, "invalid_request_error")
    assert words in error["message"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/health", 405)]
)
async def test_what_is_not_there_is_said_in_the_same_form(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == f"{method} {path}: is not served here"


async def test_token_numbers_of_another_model_are_refused(http: httpx.AsyncClient) -> None:
    for body in ({"input": [[1, 2]]}, {"input": [1, 2]}, {"input": [""]}, {"input": ["a"], "dimensions": 3}):
        answer = await http.post("/v1/embeddings", json={"model": "smollm2"} | body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] in ("input", "dimensions")


async def test_a_full_queue_is_429_with_a_hint_and_the_others_go_on(http: httpx.AsyncClient) -> None:
    async with http.stream("POST", "/v1/chat/completions", json=told(LONG, stream=True)) as first:
        lines = first.aiter_lines()
        await anext(lines)
        others = [asyncio.create_task(http.post("/v1/completions", json=FILLING)) for _ in range(4)]
        refused: set[asyncio.Task[httpx.Response]] = set()
        while len(refused) < 2:
            done, _ = await asyncio.wait(set(others) - refused, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        for task in refused:
            answer = task.result()
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    for task in set(others) - refused:
        assert (await task).json()["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_frees_its_sequence(http: httpx.AsyncClient, model_address: str, stream: bool) -> None:
    before = await measured(http, "llamacpp:tokens_predicted_total")
    async with httpx.AsyncClient(base_url=f"http://{model_address}", timeout=PATIENCE) as other:
        asking = asyncio.create_task(_first_line(other, told(LONG, stream=stream)))
        await until(http, "llamacpp:requests_processing", 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(http, "llamacpp:requests_processing", 0)
    assert await measured(http, "llamacpp:tokens_predicted_total") - before < LONG


async def _first_line(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        await asyncio.Event().wait()


async def test_a_client_that_does_not_read_holds_up_nobody(http: httpx.AsyncClient, model_address: str) -> None:
    host, port = model_address.split(":")
    body = json.dumps(told(LONG, stream=True)).encode()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: a", "Content-Type: application/json"]
        slow.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        await until(http, "llamacpp:requests_processing", 1)
        assert (await http.post("/v1/chat/completions", json=told(4))).json()["usage"]["completion_tokens"] == 4
        assert (await http.get("/health")).status_code == 200
    await until(http, "llamacpp:requests_processing", 0)


async def test_an_answer_that_has_begun_is_finished_after_sigterm(smollm2_file: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "MILEPOST_SERVICE_FILE": str(smollm2_file),
        "MILEPOST_GRACE_SECONDS": "600",
        "MILEPOST_HTTP_LISTEN": address,
    }
    with running("milepost_model", tmp_path / "log", environment) as service:
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as http,
            http.stream("POST", "/v1/chat/completions", json=told(40, stream=True)) as answer,
        ):
            lines = answer.aiter_lines()
            await anext(lines)
            service.process.terminate()
            rest = [line async for line in lines if line]
    code, log = service.wait_exit()
    assert (code, rest[-1]) == (0, "data: [DONE]"), log
    assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert "Traceback" not in log


async def test_who_waits_when_the_grace_is_over_is_told_that_the_process_stops(
    smollm2_file: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "MILEPOST_SERVICE_FILE": str(smollm2_file),
        "MILEPOST_GRACE_SECONDS": "0.1",
        "MILEPOST_HTTP_LISTEN": address,
    }
    with running("milepost_model", tmp_path / "log", environment) as service:
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as http,
            http.stream("POST", "/v1/chat/completions", json=told(900, stream=True)) as answer,
        ):
            lines = answer.aiter_lines()
            await anext(lines)
            asking = asyncio.create_task(http.post("/v1/chat/completions", json=told(900)))
            await until(http, "llamacpp:requests_processing", 2)
            service.process.terminate()
            told_last = [line async for line in lines if line][-1]
            whole = await asking
    code, log = service.wait_exit()
    assert (code, "Traceback" in log) == (0, False), log
    assert json.loads(told_last.removeprefix("data: "))["error"]["code"] == "unavailable"
    assert (whole.status_code, whole.json()["error"]["message"]) == (503, "the process stops")


async def test_while_the_model_loads_health_and_requests_are_503(smollm2_file: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {"MILEPOST_SERVICE_FILE": str(smollm2_file), "MILEPOST_HTTP_LISTEN": address}
    service = ServiceProcess("milepost_model", tmp_path / "log", environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as http:
            seen = [await _status(http)]
            async with asyncio.timeout(PATIENCE):
                while seen[-1] != 200:
                    seen.append(await _status(http))
            assert 503 in seen
            assert seen.index(503) < seen.index(200)
    finally:
        assert service.stop() == 0


async def _status(http: httpx.AsyncClient) -> int:
    """0 while nobody listens."""
    try:
        answer = await http.get("/health")
    except httpx.ConnectError:
        await asyncio.sleep(0.005)
        return 0
    if answer.status_code == 503:
        assert answer.json()["error"]["code"] == "unavailable"
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.status_code


def test_a_busy_http_port_is_one_line_and_exit_code_2(smollm2_file: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {"MILEPOST_SERVICE_FILE": str(smollm2_file), "MILEPOST_HTTP_LISTEN": address}
        code, log = ServiceProcess("milepost_model", tmp_path / "log", environment).wait_exit()
    assert (code, log.count("\n")) == (2, 1), log
    assert f"MILEPOST_HTTP_LISTEN: {address} cannot be listened to" in log
