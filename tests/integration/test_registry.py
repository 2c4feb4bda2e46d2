"""Who the candidates are: real agents and services that hang, are cut off, come anew, and claim the same name."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from processes import PATIENCE, AgentClient, Process, agent_process, running, scripted_process
from severed import way_to

pytestmark = pytest.mark.requirement("REG-1", "RTR-2")

SPEC: dict[str, object] = {
    "pattern": "linear",
    "steps": [{"name": "code", "role": "coder", "capability": "coding", "timeout": "2m"}],
    "arbitrator": {"modelRef": {"name": "worker"}},
}


def service(client: AgentClient, name: str) -> registry_pb2.Service:
    """What the agent says of a service; empty when it knows none of the name."""
    listed = client.registry.ListServices(registry_pb2.ListServicesRequest(), timeout=PATIENCE, wait_for_ready=True)
    return next((each for each in listed.services if each.name == name), registry_pb2.Service())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def wait_left(client: AgentClient, name: str) -> None:
    wait_until(lambda: service(client, name).state != registry_pb2.SERVICE_STATE_READY)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    agent = agent_process(tmp_path_factory.mktemp("served"), SPEC)
    with running(agent):
        client = AgentClient(agent.target)
        yield client
        client.close()


def send(process: Process, number: signal.Signals) -> None:
    assert process.popen
    process.popen.send_signal(number)


def test_a_service_that_hangs_or_is_cut_off_leaves_the_candidates_and_comes_back_by_itself(tmp_path: Path) -> None:
    """Its connections stay open all the while, and the one that is cut off goes on to renew its lease."""
    agent = agent_process(tmp_path, SPEC)
    hangs = scripted_process(tmp_path, "hangs", "coding", agent.target)
    cut_off = scripted_process(tmp_path, "cut-off", "coding", agent.target)
    with way_to(cut_off.target) as way:
        cut_off.environment["MILEPOST_ADVERTISE"] = way.target
        with running(agent, hangs, cut_off):
            client = AgentClient(agent.target)
            client.wait_ready("hangs", "cut-off")
            send(hangs, signal.SIGSTOP)
            way.cut()
            try:
                wait_left(client, "hangs")
                wait_left(client, "cut-off")
                assert service(client, "cut-off").state == registry_pb2.SERVICE_STATE_NOT_READY
            finally:
                send(hangs, signal.SIGCONT)
                way.mend()
            client.wait_ready("hangs", "cut-off")
            assert client.wait_ended(client.start_run("back").run_id).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
            client.close()


def test_a_new_service_is_routed_to_without_a_restart(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    other, late = (scripted_process(tmp_path, *what, agent.target) for what in (("other", "rag"), ("late", "coding")))
    with running(agent, other):
        client = AgentClient(agent.target)
        client.wait_ready("other")
        run = client.start_run("who can write this?").run_id
        with running(late):
            assert client.wait_ended(run).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
            recommended = next(event for event in client.events(run) if event.type == "Recommended")
            assert [each["service"] for each in recommended.data["services"]] == ["late"]
        client.close()


def test_a_name_belongs_to_the_process_that_serves_under_it_until_it_ends(tmp_path: Path) -> None:
    """The second says why it is refused, takes the name once the first is killed, and does not take it along."""
    agent = agent_process(tmp_path, SPEC)
    (tmp_path / "second").mkdir()
    first = scripted_process(tmp_path, "worker", "coding", agent.target)
    second = scripted_process(tmp_path / "second", "worker", "coding", agent.target)
    refusal = f"ALREADY_EXISTS service.name: 'worker' is served at {first.target}; allowed: another name"
    with running(agent, first):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        with running(second):
            wait_until(lambda: refusal in second.log.read_text())
            assert second.log.read_text().count(refusal) == 1
        client.registry.Deregister(
            registry_pb2.DeregisterRequest(name="worker", target=second.target), timeout=PATIENCE
        )
        assert service(client, "worker").target == first.target
        with running(second):
            wait_until(lambda: second.log.read_text().count(refusal) == 2)
            first.kill()
            wait_until(lambda: service(client, "worker").target == second.target)
            client.wait_ready("worker")
        assert service(client, "worker").name == ""
        client.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "Not a label"}, "service.name: 'Not a label' is no RFC 1123 label of 1 to 63 characters"),
        ({"name": ""}, "service.name: '' is no RFC 1123 label"),
        ({"target": "nowhere"}, "service.target: "),
        ({"capabilities": ["a b"]}, "service.capabilities: 'a b' is no tag; allowed: a-z, 0-9 and -"),
        ({"capabilities": [f"t{each}" for each in range(65)]}, "service.capabilities: has 65; allowed: at most 64"),
        ({"examples": ["x"] * 65}, "service.examples: has 65; allowed: at most 64"),
        ({"description": "x" * 1025}, "service: a text has 1025 characters; allowed: at most 1024"),
        ({"details": {f"k{each}": "v" for each in range(65)}}, "service.details: has 65; allowed: at most 64"),
        ({"details": {"k": "v" * 1025}}, "service: a text has 1025 characters; allowed: at most 1024"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_registration_that_cannot_be_used_is_refused_in_one_line(
    served: AgentClient, wrong: dict[str, object], words: str
) -> None:
    fields: dict[str, object] = {"name": "worker", "target": "127.0.0.1:1", "capabilities": ["coding"], **wrong}
    request = registry_pb2.RegisterRequest(service=registry_pb2.Service(**fields))  # type: ignore[arg-type]
    with pytest.raises(grpc.RpcError) as refused:
        served.registry.Register(request, timeout=PATIENCE)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(words)
    assert "\n" not in refused.value.details()
    assert service(served, "worker").name == ""
