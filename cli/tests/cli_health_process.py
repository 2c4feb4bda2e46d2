"""A tiny real gRPC process for the supervisor's tests: serves health, and does what its arguments say.

usage: cli_health_process.py HOST:PORT [--delay S] [--exit CODE] [--words TEXT] [--deaf] [--count FILE] [--die-first N]
       [--exit-if FILE] [--knows NAME...] [--knows-if FILE]
"""

import argparse
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Knows the services that it was told of, once the file `learned` is there."""

    def __init__(self, names: list[str], learned: Path | None) -> None:
        self._names = names
        self._learned = learned

    def ListServices(
        self, request: registry_pb2.ListServicesRequest, context: grpc.ServicerContext
    ) -> registry_pb2.ListServicesResponse:
        services = [
            registry_pb2.Service(name=name, target="127.0.0.1:1", state=registry_pb2.SERVICE_STATE_READY)
            for name in (self._names if self._learned is None or self._learned.exists() else ())
        ]
        return registry_pb2.ListServicesResponse(services=services)


def main() -> None:
    options = parsed()
    starts = count_start(options.count)
    if options.words:
        sys.stderr.write(options.words + "\n")
    if options.exit is not None:
        sys.exit(options.exit)
    if options.exit_if is not None and options.exit_if.exists():
        sys.exit(2)
    if starts <= options.die_first:
        sys.exit(7)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, (lambda *_: None) if options.deaf else (lambda *_: stop.set()))
    time.sleep(options.delay)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(Registry(options.knows, options.knows_if), server)
    server.add_insecure_port(options.target)
    server.start()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    stop.wait()
    server.stop(0.2).wait()
    sys.stderr.write("stopped cleanly\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--exit-if", type=Path)
    parser.add_argument("--words", default="")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--count", type=Path)
    parser.add_argument("--die-first", type=int, default=0)
    parser.add_argument("--knows-if", type=Path)
    parser.add_argument("--knows", nargs="*", default=[])
    return parser.parse_args()


def count_start(file: Path | None) -> int:
    if file is None:
        return 1
    with file.open("a") as starts:
        starts.write("start\n")
    return len(file.read_text().splitlines())


if __name__ == "__main__":
    main()
