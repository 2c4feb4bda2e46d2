"""Every line that a process writes in JSON is JSON, whatever goes wrong and whenever."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from milepost_service.testing import ServiceProcess, free_port

pytestmark = pytest.mark.requirement("OBS-4")
ECHO = Path(__file__).with_name("echo_service.py")
FAILING = """
import asyncio, threading, warnings
from milepost_service.server import run

class Broken:
    def __del__(self):
        raise ValueError("never seen")

async def main():
    warnings.warn("old way", DeprecationWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    Broken()
    asyncio.get_running_loop().call_soon(lambda: [][1])
    await asyncio.sleep(0)
    raise LookupError("nobody caught this")

run(main(), name="broken")
"""


def lines_of(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert set(line) >= {"time", "level", "service", "message"}, line
    return lines


def outcome(command: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode()


def test_what_nobody_caught_is_a_line_too() -> None:
    """A warning, an error of a thread, of a callback, of a finaliser, and the one that ends the process."""
    code, text = outcome([sys.executable, "-Wdefault", "-c", FAILING], MILEPOST_LOG_FORMAT="json")
    assert code == 1
    lines = lines_of(text)
    assert {line["service"] for line in lines} == {"broken"}
    told = " ".join(line["message"] + line.get("exception", "") for line in lines)
    for each in ("old way", "ZeroDivisionError", "never seen", "IndexError", "nobody caught this"):
        assert each in told
    assert lines[-1]["level"] == "CRITICAL"


def test_people_get_the_same_as_text() -> None:
    """Without JSON the end of a process by an error still has its stack."""
    code, text = outcome([sys.executable, "-c", FAILING], MILEPOST_LOG_FORMAT="text")
    assert code == 1
    assert "LookupError: nobody caught this" in text and not text.startswith("{")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MILEPOST_LISTEN": "nowhere"}, "MILEPOST_LISTEN"),
        ({"MILEPOST_LOG_LEVEL": "LOUD"}, "MILEPOST_LOG_LEVEL"),
        ({"ECHO_START": "fail"}, "model.gguf: is not a GGUF file"),
    ],
    ids=["address", "level", "start"],
)
def test_why_a_process_does_not_start_is_one_line_of_json(environment: dict[str, str], told: str) -> None:
    """The mistake of whoever starts it, before and after the settings are read."""
    given = {"MILEPOST_SERVICE_FILE": "x", "MILEPOST_LISTEN": f"127.0.0.1:{free_port()}", **environment}
    code, text = outcome([sys.executable, str(ECHO)], MILEPOST_LOG_FORMAT="json", **given)
    assert code == 2
    [line] = [line for line in lines_of(text) if line["level"] == "ERROR"]
    assert told in line["message"]
    assert line["service"] == "echo"


def test_garbage_at_the_port_writes_no_line_that_is_not_json(tmp_path: Path) -> None:
    """What does not speak HTTP/2 leaves no line of gRPC's own core."""
    log, target = tmp_path / "echo.log", f"127.0.0.1:{free_port()}"
    settings = {"MILEPOST_LOG_FORMAT": "json", "MILEPOST_LOG_LEVEL": "DEBUG", "MILEPOST_SERVICE_FILE": "x"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(ECHO)],
            env={**os.environ, **settings, "MILEPOST_LISTEN": target},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        service = ServiceProcess.__new__(ServiceProcess)
        service.process, service.log, service.target = process, log, target
        service.wait_serving()
        host, _, port = target.partition(":")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64, b"\x16\x03\x01"):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(garbage)
                time.sleep(0.05)
    finally:
        service.stop()
    assert len(lines_of(log.read_text())) >= 2
