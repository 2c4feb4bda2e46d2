"""The model service beside llama.cpp's own server: the same file, threads, cells of the KV cache and prompts.

Both are asked over an interface of their own, Milepost by gRPC and by HTTP, the peer by HTTP. They take turns in an
order that changes from round to round, and each ratio is made within a round; told is the median of the rounds with
the limits between which it lies with 95 % (of fewer than six rounds, the smallest and the largest).

- decode: tokens a second of one stream, after its first token.
- throughput: tokens a second of 8 streams that begin at once, their prompts included.
- first token: the median over those 8 streams, Milepost's time by the peer's: less is better.
- prefix: how much sooner the second request with the same system prompt of 700 tokens has its first token.
- CPU: of the server's process for a token, the peer's by Milepost's. On a machine that does other work too this says
  more than the clock.

Beside 8 streams of Milepost, /metrics, /health and gRPC's health service are asked ten times a second; beside one, in a
process of its own, the router answers. Prints a table, and ends with one line of JSON.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import httpx
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench_router import router
from model_sides import Answer, Server, Shape, by_grpc, by_http, http_client, milepost, peer
from obs_estimate import Estimate, estimate
from router_neighbour import model_file
from router_side import quantile

ONE = (40, 64)
MANY = (48, 48)
"""Words of a prompt, one token each, and tokens of an answer: of one stream, and of several at once."""
PREFIX_WORDS = 700
OTHER_PROMPTS = 1_000_000
"""For the second way to ask the same process, which has read the prompts of the first."""
PROBE_SECONDS = 0.1
ROUTER_ANSWERS = 60
GOALS = {"decode": ">= 0.95", "throughput": ">= 0.90", "first token": "<= 1.30", "prefix": ">= 10"}
WORDS = "the bridge town river stone water people built old year house work long time day night small great hand road"
Measured = dict[str, list[dict[str, float]]]
"""Figures of each round, by server."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    threads = max(1, (os.cpu_count() or 1) - 1)
    parser.add_argument("--threads", type=int, default=threads, help="of each server (default: all cores but one)")
    return parser.parse_args()


def text(words: int, seed: int) -> str:
    """A prompt that no other begins like."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS.split()) for _ in range(words))


async def one_turn(server: Server, number: int, slots: int) -> dict[str, float]:
    """One stream, several at once, and two requests with the same long beginning."""
    before = server.cpu_seconds()
    alone = await server.ask(text(ONE[0], number), ONE[1])
    between, begun = server.cpu_seconds(), time.perf_counter()
    streams = await asyncio.gather(*(server.ask(text(MANY[0], number + each + 1), MANY[1]) for each in range(slots)))
    taken, after = time.perf_counter() - begun, server.cpu_seconds()
    tokens = sum(each.tokens for each in streams)
    long = text(PREFIX_WORDS, number + 99)
    first, second = [await server.ask(f"{long} {question}", 1) for question in ("Who?", "When?")]
    return {
        "decode": alone.tokens_per_second,
        "cpu_ms_1": (between - before) * 1000 / alone.tokens,
        "throughput": tokens / taken,
        "cpu_ms_many": (after - between) * 1000 / tokens,
        "first": statistics.median(each.first for each in streams),
        "prefix": first.first / second.first,
        "mib": server.process.memory_info().rss / 2**20,
        **_sizes([alone, *streams]),
    }


def _sizes(answers: Sequence[Answer]) -> dict[str, float]:
    return {"read": sum(each.prompt_tokens for each in answers), "made": sum(each.tokens for each in answers)}


async def measure(servers: Sequence[Server], rounds: int, slots: int) -> Measured:
    found: Measured = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in (*servers[number % len(servers) :], *servers[: number % len(servers)]):
            found[server.name].append(await one_turn(server, server.prompts + number * 100, slots))
        last = [found[server.name][-1] for server in servers]
        if len({(each["read"], each["made"]) for each in last}) > 1:
            raise SystemExit(f"bench-model: the servers did not do the same work: {last}")
        told = "; ".join(
            f"{server.name} {figures['decode']:.0f} and {figures['throughput']:.0f} tokens/s"
            for server, figures in zip(servers, last, strict=True)
        )
        print(f"  round {number + 1}: {told}", flush=True)
    return found


def ratios(found: Measured, ours: str, theirs: str) -> dict[str, Estimate]:
    """Ours by theirs within each round, of CPU times theirs by ours."""

    def of(key: str) -> list[float]:
        return [one[key] / other[key] for one, other in zip(found[ours], found[theirs], strict=True)]

    made = {"decode": of("decode"), "throughput": of("throughput"), "first token": of("first")}
    made |= {"decode, CPU": [1 / each for each in of("cpu_ms_1")]}
    made |= {"throughput, CPU": [1 / each for each in of("cpu_ms_many")]}
    made |= {"prefix": [each["prefix"] for each in found[ours]]}
    return {name: estimate(each) for name, each in made.items()}


async def probed(server: Server, channel: grpc.aio.Channel, client: httpx.AsyncClient, slots: int) -> dict[str, float]:
    """The 95th percentiles in milliseconds of what says how the process is, while all slots generate."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    probes: dict[str, Callable[[], Awaitable[Any]]] = {
        "metrics": lambda: client.get("/metrics"),
        "health": lambda: client.get("/health"),
        "grpc_health": lambda: health.Check(health_pb2.HealthCheckRequest()),
    }
    taken: dict[str, list[float]] = {name: [] for name in probes}
    streams = [asyncio.create_task(server.ask(text(MANY[0], 10_000 + each), MANY[1])) for each in range(slots)]
    while not all(stream.done() for stream in streams):
        for name, probe in probes.items():
            begun = time.perf_counter()
            await probe()
            taken[name].append(time.perf_counter() - begun)
        await asyncio.sleep(PROBE_SECONDS)
    await asyncio.gather(*streams)
    return {f"{name}_p95_ms": quantile(each, 95) for name, each in taken.items()}


async def router_beside(server: Server) -> dict[str, float]:
    """The 95th percentiles of the router's answers, in its own process, while one stream goes on."""
    with router() as side:
        await asyncio.to_thread(side.ask, "cold")
        await asyncio.to_thread(side.ask, "learn 5")
        asked = asyncio.create_task(asyncio.to_thread(side.ask, f"ask 5 {ROUTER_ANSWERS}"))
        number = 0
        while not asked.done():
            number += 1
            await server.ask(text(ONE[0], 20_000 + number), ONE[1])
        figures = await asked
        return {"router_p95_ms": figures["p95_ms"], "router_cpu_p95_ms": figures["cpu_p95_ms"]}


def report(found: Measured, compared: dict[str, dict[str, Estimate]]) -> list[str]:
    """The tables in Markdown."""
    titles = ("Server", "decode", "8 streams", "first token", "CPU, decode", "CPU, 8 streams", "memory")
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for name, rounds in found.items():
        middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        cells = [f"{middle[key]:.1f} tokens/s" for key in ("decode", "throughput")]
        cells += [f"{middle['first']:.2f} s", *(f"{middle[key]:.1f} ms" for key in ("cpu_ms_1", "cpu_ms_many"))]
        lines.append(f"| {name} | {' | '.join(cells)} | {middle['mib']:.0f} MiB |")
    lines += ["", f"| Beside the peer | {' | '.join(compared)} | goal |", f"|{'---|' * (len(compared) + 2)}"]
    for row in next(iter(compared.values())):
        cells = [f"{each[row].share:.2f} ({each[row].low:.2f} to {each[row].high:.2f})" for each in compared.values()]
        lines.append(f"| {row} | {' | '.join(cells)} | {GOALS.get(row, '')} |")
    return lines


async def run(rounds: int, shape: Shape) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        process, http = stack.enter_context(milepost(shape))
        other, address = stack.enter_context(peer(model_file(), shape))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.target))
        client = await stack.enter_async_context(http_client(http))
        their_client = await stack.enter_async_context(http_client(address))
        own = psutil.Process(process.process.pid)
        ours = Server("Milepost, gRPC", own, by_grpc(channel))
        servers = [
            ours,
            Server("Milepost, HTTP", own, by_http(client), prompts=OTHER_PROMPTS),
            Server("llama.cpp", psutil.Process(other.pid), by_http(their_client)),
        ]
        found = await measure(servers, rounds, shape.slots)
        compared = {each.name: ratios(found, each.name, servers[-1].name) for each in servers[:-1]}
        print("\n" + "\n".join(report(found, compared)))
        beside = await probed(ours, channel, client, shape.slots)
        beside |= await router_beside(ours)
    grpc_ratios, http_ratios = compared.values()
    return {
        "ratio_decode_1": grpc_ratios["decode"].share,
        "ratio_throughput_8": grpc_ratios["throughput"].share,
        "ratio_ttft_8": grpc_ratios["first token"].share,
        "prefix_speedup": grpc_ratios["prefix"].share,
        **beside,
        "cpu_ratio_decode_1": grpc_ratios["decode, CPU"].share,
        "cpu_ratio_throughput_8": grpc_ratios["throughput, CPU"].share,
        "http_ratio_decode_1": http_ratios["decode"].share,
        "http_ratio_throughput_8": http_ratios["throughput"].share,
    }


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the servers would stay
    chosen = options()
    before = os.getloadavg()[0]
    figures = asyncio.run(run(chosen.rounds, Shape(threads=chosen.threads)))
    after = os.getloadavg()[0]
    told = ", ".join(f"{name} {figures[name]:.1f}" for name in figures if name.endswith("_ms"))
    print(f"\nWhile it generates: {told}.")
    print(f"{os.cpu_count()} cores, {chosen.threads} threads, load {before:.1f} before and {after:.1f} after.\n")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
