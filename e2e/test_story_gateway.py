"""The gateway in the cluster: what a person sees and does in the browser, whatever pods do meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from e2e_cluster import Cluster
from e2e_gateway import GatewayClient, Sent
from e2e_install import NAMESPACE, Installation
from e2e_manifests import linear, model, workflow
from e2e_story import Story
from e2e_waiting import eventually

FLOW = "watched"
HELD_SECONDS = 15
PROMPT = f"Write a function. hold=coder/1/{HELD_SECONDS}"

pytestmark = [pytest.mark.cluster, pytest.mark.requirement("PKG-2", "PKG-3", "AGT-1")]


@pytest.fixture
def gateway(cluster: Cluster, installation: Installation) -> Iterator[GatewayClient]:
    client = GatewayClient(cluster)
    yield client
    client.close()


@pytest.fixture
def agent(story: Story, gateway: GatewayClient) -> str:
    """Id of the agent of a workflow that the gateway has found."""
    story.scripted()
    story.apply(model(), workflow(FLOW))
    story.wait_ready(("AgentWorkflow", FLOW))
    found = f"{story.namespace}.{FLOW}-0"
    eventually("the gateway reaches the agent", gateway.reachable, lambda seen: found in seen, within=30)
    return found


def flow_of(agent: str) -> str:
    """With its namespace: the workflow of a story that is being taken away has the same name."""
    return f"{agent.partition('.')[0]}/{FLOW}"


def start(gateway: GatewayClient, agent: str, prompt: str = PROMPT) -> str:
    answer = gateway.ask("POST", "/api/runs", {"workflow": flow_of(agent), "prompt": prompt})
    assert answer.status_code in (200, 201, 202), answer.text
    return str(answer.json()["run"]["run_id"])


def journal(gateway: GatewayClient, run_id: str) -> list[Any]:
    return list(gateway.get(f"/api/runs/{run_id}/events?limit=500")["events"])


def assert_no_gap(sent: Sent, agent: str) -> None:
    """Agents of stories that are being taken away come and go beside this one."""
    assert not (sent.name == "resync" and f"agent {agent} " in f"{sent.data['reason']} "), sent


def test_a_run_is_watched_while_its_agents_pod_is_replaced(story: Story, gateway: GatewayClient, agent: str) -> None:
    """A run started by HTTP goes on in one stream without a gap or a double while its agent's pod is replaced."""
    shown: list[Any] = []
    with gateway.stream() as events:
        assert next(events).name == "hello"
        run_id = start(gateway, agent)
        killed = False
        for sent in events:
            assert_no_gap(sent, agent)
            if sent.name != "journal" or sent.data["event"]["run_id"] != run_id:
                continue
            event = sent.data["event"]
            assert sent.data["agent"] == agent
            shown.append(event)
            if not killed and (event["type"], event["step"]) == ("StepStarted", "code"):
                story.delete("Pod", f"{FLOW}-0")
                killed = True
            if event["type"] == "RunCompleted":
                break
    types = [event["type"] for event in shown]
    assert killed and "RunResumed" in types, types
    assert [event["sequence"] for event in shown] == [event["sequence"] for event in journal(gateway, run_id)]
    found = gateway.get(f"/api/runs/{run_id}")
    assert (found["agent"], found["run"]["state"], found["run"]["outcome"]) == (agent, "ended", "Completed")
    assert found["run"]["recoveries"] == 1
    assert [step["name"] for step in found["graph"]["steps"]] == ["research", "code", "review"]


def test_the_gateway_itself_is_replaced(cluster: Cluster, gateway: GatewayClient, agent: str) -> None:
    """The gateway's pod deleted in the middle of a run: its reader goes on where it was, without a gap or a double."""
    shown: list[int] = []
    with gateway.stream() as events:
        position = next(events).id
        run_id = start(gateway, agent)
        for sent in events:
            position = sent.id or position
            if sent.name == "journal" and sent.data["event"]["run_id"] == run_id:
                shown.append(sent.data["event"]["sequence"])
                if sent.data["event"]["type"] == "StepStarted":
                    break
    before = gateway.pod()["metadata"]["uid"]
    cluster.delete("Pod", gateway.pod()["metadata"]["name"], NAMESPACE)
    eventually("another gateway is ready", gateway.pod, lambda pod: pod["metadata"]["uid"] != before, within=60)
    with gateway.stream(position) as events:
        for sent in events:
            assert_no_gap(sent, agent)
            if sent.name == "journal" and sent.data["event"]["run_id"] == run_id:
                shown.append(sent.data["event"]["sequence"])
                if sent.data["event"]["type"] == "RunCompleted":
                    break
    assert shown == [event["sequence"] for event in journal(gateway, run_id)]


def test_nothing_changes_without_the_token(gateway: GatewayClient, agent: str) -> None:
    """Without the token everything is seen and nothing changed; with it the mode is switched and switched back."""
    assert gateway.ask("GET", "/api/config", token="").json()["writable"] is False
    config = gateway.get("/api/config")
    assert (config["mode"], config["writable"], config["token_required"]) == ("cluster", True, True)
    place = f"/api/agents/{agent}/observability"
    before = gateway.ask("GET", place, token="").json()["mode"]
    for method, path, body in (
        ("POST", "/api/runs", {"workflow": FLOW, "prompt": "x"}),
        ("PUT", place, {"mode": "debug"}),
        ("POST", f"/api/agents/{agent}/backups", {}),
    ):
        for token in ("", "wrong"):
            refused = gateway.ask(method, path, body, token=token)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHENTICATED"), refused.text
    assert gateway.get(place)["mode"] == before
    assert gateway.get(f"/api/runs?workflow={flow_of(agent)}")["runs"] == []
    assert gateway.ask("PUT", place, {"mode": "debug", "duration_seconds": 300}).json()["mode"] == "debug"
    changed = gateway.get(place)
    assert changed["mode"] == "debug" and changed["until"]
    assert gateway.ask("PUT", place, {"mode": "shipping"}).json()["mode"] == "shipping"


def test_workflows_come_and_go(story: Story, gateway: GatewayClient, agent: str) -> None:
    """A workflow that is applied later is in the UI without a restart, and one that is deleted leaves it."""
    pod = gateway.pod()["metadata"]["uid"]
    story.apply(linear("later"))
    later = f"{story.namespace}.later-0"
    eventually("the gateway reaches the new agent", gateway.reachable, lambda seen: later in seen, within=90)
    assert gateway.agents()[later]["workflow"] == "later"
    story.delete("AgentWorkflow", "later")
    eventually("the agent is gone", gateway.agents, lambda seen: later not in seen, within=60)
    assert agent in gateway.reachable()
    assert gateway.pod()["metadata"]["uid"] == pod


def test_the_page_is_served(gateway: GatewayClient) -> None:
    """The gateway serves the built web UI: the page, and every script and style that it names."""
    page = gateway.ask("GET", "/", token="")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="\.?/?(assets/[^"]+)"', page.text)
    assert any(name.endswith(".js") for name in named), page.text
    for name in named:
        assert gateway.ask("GET", f"/{name}", token="").status_code == 200, name


@pytest.mark.requirement("CLI-1")
def test_milepost_ui_leads_to_it(cluster: Cluster, gateway: GatewayClient, agent: str) -> None:
    """`milepost ui` prints an address with the token, which outlives the gateway's pod and ends with Ctrl-C."""
    command = [sys.executable, "-m", "milepost_cli", "ui", "--print-only", "-n", NAMESPACE]
    environment = {**os.environ, "KUBECONFIG": cluster.kubeconfig}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as shown:
        try:
            assert shown.stdout is not None
            address, _, token = shown.stdout.readline().strip().partition("#token=")
            assert token == gateway.token
            assert agent in reached(address, token)
            before = gateway.pod()["metadata"]
            cluster.delete("Pod", before["name"], NAMESPACE)
            eventually(
                "another gateway is ready", gateway.pod, lambda pod: pod["metadata"]["uid"] != before["uid"], within=60
            )
            eventually(
                "the same address leads there", lambda: reached(address, token), lambda seen: agent in seen, within=60
            )
        finally:
            shown.send_signal(signal.SIGINT)
        assert shown.wait(30) == 0


def reached(address: str, token: str) -> set[str]:
    """Agents that the gateway reaches; none where it cannot be asked now."""
    try:
        answer = httpx.get(f"{address}api/agents", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    except httpx.HTTPError:
        return set()
    return {each["agent"] for each in answer.raise_for_status().json()["agents"] if each["reachable"]}
