"""The `milepost` command against real agents in pods, through the port forwarding of a real API server."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from kubernetes import client

from e2e_cluster import Cluster, ready_pods
from e2e_cut import CutWay
from e2e_manifests import scripted, workflow
from e2e_pods import agent_pods, registries
from e2e_waiting import eventually
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_cli.cluster.access import Access
from milepost_cli.cluster.forwarding import Forwarder
from milepost_cli.cluster.placement import ranked
from milepost_cli.cluster.portforward import PortForwardDialer

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 240.0
NAME = "flow"
MEGABYTE = 2**20

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),  # a throw-away cluster may have no certificate
    # a client of the API server leaves idle connections to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Milepost = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> Iterator[None]:
    """The CRDs; those that were not there before are removed again."""
    wanted = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]
    kind = "CustomResourceDefinition"
    missing = [each for each in wanted if cluster.find(kind, each["metadata"]["name"]) is None]
    for each in missing:
        cluster.apply(each)
        cluster.wait_condition(kind, each["metadata"]["name"], "", "Established", within=30)
    yield
    for each in missing:
        cluster.delete(kind, each["metadata"]["name"])


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, definitions: None, keep: bool) -> Iterator[str]:
    name = f"e2e-cli-{secrets.token_hex(2)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    if not keep:
        cluster.delete("Namespace", name)


@pytest.fixture(scope="module")
def agents(cluster: Cluster, namespace: str, tag: str) -> str:
    """Two agents of one workflow and a service that both know; name of the workflow."""
    settings = {"MILEPOST_REGISTRIES": registries(NAME, 2), "MILEPOST_ADVERTISE": "worker:50052"}
    for manifest in (
        *agent_pods(NAME, f"milepost-agent:{tag}", 2),
        *scripted(f"milepost-tools:{tag}", settings=settings),
    ):
        eventually("the kind is served", lambda manifest=manifest: cluster.apply(manifest, namespace), within=30)
    wait_for_pods(cluster, namespace, 3)
    return NAME


@pytest.fixture
def milepost(cluster: Cluster, namespace: str, tmp_path: Path) -> Milepost:
    """Runs `milepost ARGUMENTS -n NAMESPACE` in an empty folder, with temporary files of its own."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {
            "capture_output": True,
            "text": True,
            "timeout": LIMIT,
            "cwd": tmp_path,
            "env": environment(cluster),
        }
        return subprocess.run([*command(), *arguments, "-n", namespace], check=False, **{**settings, **options})

    return run


def command() -> list[str]:
    return [sys.executable, "-m", "milepost_cli"]


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": cluster.kubeconfig, **more}


def wait_for_pods(cluster: Cluster, namespace: str, count: int) -> None:
    eventually(
        f"{count} pods are ready",
        lambda: ready_pods(cluster.pods(namespace)),
        lambda pods: len(pods) == count,
        within=180,
        explain=lambda: cluster.pods_in_words(namespace),
    )


def until_known(milepost: Milepost, service: str) -> None:
    """Until every agent knows the service."""
    eventually(
        f"{service} is known",
        lambda: json.loads(milepost("get", "services", "--json").stdout or "{}"),
        lambda seen: [one["state"] for one in seen.get("services", ()) if one["name"] == service] == ["ready"],
        within=60,
    )


@pytest.mark.requirement("CLI-1")
def test_a_run_is_started_followed_and_shown_as_in_local_mode(agents: str, milepost: Milepost, namespace: str) -> None:
    until_known(milepost, "worker")
    done = milepost("run", agents, "Write it", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed after" in done.stdout
    started = milepost("run", agents, "Write it again")
    run_id = started.stdout.split()[1]
    assert f"milepost watch {run_id} -n {namespace}" in started.stdout
    watched = milepost("watch", run_id, "--json")
    events = [json.loads(line)["event"]["sequence"] for line in watched.stdout.splitlines() if '"event"' in line]
    assert events == sorted(set(events))
    assert "hop 1  research" in milepost("get", "run", run_id[:8]).stdout
    assert run_id in milepost("get", "runs").stdout
    cancelled = milepost("cancel", run_id)
    assert cancelled.stdout == f"run {run_id}: Completed\n"


@pytest.mark.requirement("CLI-1", "DUR-3")
def test_a_deleted_agent_pod_is_a_pause_and_every_event_comes_once(
    agents: str, cluster: Cluster, milepost: Milepost, namespace: str
) -> None:
    until_known(milepost, "worker")
    following = [*command(), "run", agents, "hold=coder/1/25", "--follow", "--json", "-n", namespace]
    with subprocess.Popen(
        following, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(cluster)
    ) as run:
        assert run.stdout is not None
        seen = []
        for line in run.stdout:
            seen.append(json.loads(line))
            event = seen[-1].get("event", {})
            if event.get("type") == "StepStarted" and event.get("step") == "code":
                break
        run_id = seen[0]["event"]["run_id"]
        pod = json.loads(milepost("get", "run", run_id, "--json").stdout)["pod"]
        cluster.delete("Pod", pod, namespace)
        rest, errors = run.communicate(timeout=LIMIT)
    seen += [json.loads(line) for line in rest.splitlines()]
    assert run.returncode == 0, errors
    sequences = [each["event"]["sequence"] for each in seen if "event" in each]
    assert sequences == sorted(set(sequences))
    states = [each["connection"]["state"] for each in seen if "connection" in each]
    assert states[0] == "lost"
    assert states[-1] == "back"
    types = [each["event"]["type"] for each in seen if "event" in each]
    assert "RunResumed" in types
    assert types.count("RunCompleted") == 1
    assert seen[-1]["run"]["outcome"] == "Completed"
    assert seen[-1]["run"]["recoveries"] >= 1
    wait_for_pods(cluster, namespace, 3)


def ranked_pods(name: str, correlation_id: str) -> list[str]:
    return ranked([f"{name}-0", f"{name}-1"], correlation_id)


@pytest.mark.requirement("CLI-1")
def test_a_way_that_is_cut_and_mended_is_a_pause(
    agents: str, cluster: Cluster, milepost: Milepost, namespace: str, tmp_path: Path
) -> None:
    until_known(milepost, "worker")
    with CutWay(cluster.kubeconfig) as way:
        kubeconfig = way.write_kubeconfig(tmp_path / "cut.kubeconfig")
        following = [*command(), "run", agents, "hold=coder/1/12", "--follow", "--json", "-n", namespace]
        following += ["--kubeconfig", str(kubeconfig)]
        with subprocess.Popen(following, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            seen = []
            for wanted in ("code", "lost"):
                for line in run.stdout:
                    seen.append(json.loads(line))
                    if wanted in (seen[-1].get("event", {}).get("step"), seen[-1].get("connection", {}).get("state")):
                        break
                (way.cut if wanted == "code" else way.mend)()
            rest, errors = run.communicate(timeout=LIMIT)
    seen += [json.loads(line) for line in rest.splitlines()]
    assert run.returncode == 0, errors
    sequences = [each["event"]["sequence"] for each in seen if "event" in each]
    assert sequences == sorted(set(sequences))
    assert [each["connection"]["state"] for each in seen if "connection" in each][-1] == "back"
    assert seen[-1]["run"]["outcome"] == "Completed"
    assert seen[-1]["run"]["recoveries"] == 0


@pytest.mark.requirement("AGT-6", "CLI-1")
def test_a_correlation_id_stays_one_run_and_lists_are_put_together(
    agents: str, cluster: Cluster, milepost: Milepost, namespace: str
) -> None:
    until_known(milepost, "worker")
    chosen = {
        name: next(each for each in ids() if ranked_pods(agents, each)[0] == name) for name in ("flow-0", "flow-1")
    }
    runs = {}
    for name, correlation_id in chosen.items():
        first = json.loads(milepost("run", agents, "x", "--correlation-id", correlation_id, "--json").stdout)
        again = json.loads(milepost("run", agents, "x", "--correlation-id", correlation_id, "--json").stdout)
        assert first["run_id"] == again["run_id"]
        runs[name] = first["run_id"]
        assert json.loads(milepost("get", "run", correlation_id, "--json").stdout)["run_id"] == first["run_id"]
    listed = json.loads(milepost("get", "runs", "--json").stdout)
    assert set(runs.values()) <= {run["run_id"] for run in listed["runs"]}
    assert "away" not in listed
    [row] = json.loads(milepost("get", "workflows", "--json").stdout)["workflows"]
    assert row["pods"] == ["flow-0", "flow-1"]
    assert row["ended"] + row["running"] == len(listed["runs"])


def ids() -> Iterator[str]:
    while True:
        yield str(uuid.uuid4())


@pytest.mark.requirement("CLI-1")
def test_messages_of_a_megabyte_side_by_side_and_a_slow_reader(agents: str, cluster: Cluster, namespace: str) -> None:
    [worker] = [pod["metadata"]["name"] for pod in cluster.pods(namespace, "app=worker")]
    prompt = "a" * MEGABYTE
    with Forwarder(PortForwardDialer(Access.of(Path(cluster.kubeconfig), None), namespace)) as forwarder:
        target = forwarder.target(worker, 50052)

        def ask(number: int) -> int:
            with grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", 4 * MEGABYTE)]) as channel:
                stub = capability_pb2_grpc.CapabilityServiceStub(channel)
                answers = stub.Invoke(capability_pb2.InvokeRequest(role="writer", prompt=prompt), timeout=120)
                size = 0
                for answer in answers:
                    time.sleep(0.5 if number == 0 else 0)
                    size += len(answer.delta) + len(answer.result.text)
                return size

        with ThreadPoolExecutor(6) as pool:
            sizes = list(pool.map(ask, range(6)))
    assert sizes == [2 * (MEGABYTE + len("writer: "))] * 6
    assert not [thread for thread in threading.enumerate() if thread.name == "port-forwarding"]


@pytest.mark.requirement("CLI-1")
def test_ctrl_c_ends_cleanly_and_leaves_nothing_behind(
    agents: str, cluster: Cluster, milepost: Milepost, namespace: str
) -> None:
    until_known(milepost, "worker")
    with tempfile.TemporaryDirectory() as folder:
        following = [*command(), "run", agents, "hold=researcher/1/3", "--follow", "-n", namespace]
        with subprocess.Popen(
            following,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(cluster, TMPDIR=folder),
            # A job in the background of a shell has Ctrl-C ignored, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as run:
            assert run.stdout is not None
            assert "accepted" in run.stdout.readline()
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=30)
        assert run.returncode == 130
        [line] = errors.splitlines()
        assert f"-n {namespace}" in line
        assert list(Path(folder).iterdir()) == []


@pytest.mark.requirement("CLI-1")
def test_what_is_wrong_with_the_place_is_one_line(
    agents: str, cluster: Cluster, milepost: Milepost, tmp_path: Path
) -> None:
    contexts = yaml.safe_load(Path(cluster.kubeconfig).read_text())["contexts"]
    for arguments, words in (
        (("--context", "nowhere"), f"there is no context nowhere; allowed: {contexts[0]['name']}"),
        (("--kubeconfig", str(tmp_path / "none")), "there is no kubeconfig"),
        (("--state", "x"), "--state: is for local mode"),
    ):
        assert words in refused(milepost("get", "runs", *arguments))
    for namespace, words in (("nowhere", "there is no namespace nowhere"), ("default", "holds no AgentWorkflow")):
        asked = [*command(), "get", "workflows", "-n", namespace]
        line = refused(subprocess.run(asked, capture_output=True, text=True, env=environment(cluster)))
        assert words in line
        assert "workflows are in: " in line
    assert "no workflow other in namespace" in refused(milepost("run", "other", "x"))
    assert "no run has this id in namespace" in refused(milepost("get", "run", str(uuid.uuid4())))


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.requirement("CLI-1")
def test_what_the_operator_says_is_shown(agents: str, cluster: Cluster, milepost: Milepost, namespace: str) -> None:
    waiting = workflow("waiting")
    waiting["metadata"]["annotations"] = {"milepost.dev/paused": "true"}
    cluster.apply(waiting, namespace)
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "ServiceMissing",
        "message": "spec.arbitrator.modelRef: there is no ModelService smollm2",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    degraded = {**condition, "type": "Degraded", "status": "True"}
    client.CustomObjectsApi(cluster.api).patch_namespaced_custom_object_status(
        "milepost.dev",
        "v1alpha1",
        namespace,
        "agentworkflows",
        "waiting",
        {"status": {"conditions": [condition, degraded]}},
        _content_type="application/merge-patch+json",
    )
    try:
        line = refused(milepost("run", "waiting", "x"))
        assert "workflow waiting has no pod yet: ServiceMissing: spec.arbitrator.modelRef: there is no" in line
        shown = milepost("get", "workflows")
        assert "ServiceMissing" in shown.stdout
        assert "waiting-0 is away" in shown.stderr
        rows = json.loads(milepost("get", "workflows", "--json").stdout)["workflows"]
        assert rows[1]["ready"]["reason"] == "ServiceMissing"
        assert rows[1]["pattern"] == "cyclic"
    finally:
        cluster.delete("AgentWorkflow", "waiting", namespace)


@pytest.mark.requirement("CLI-1")
def test_a_missing_permission_is_named(agents: str, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    read = [
        {"apiGroups": ["milepost.dev"], "resources": ["agentworkflows"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]
    kubeconfig = limited_user(cluster, namespace, tmp_path, read)
    asked = [*command(), "get", "runs", "-n", namespace, "--kubeconfig", str(kubeconfig)]
    line = refused(subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT))
    assert "pods/portforward" in line
    assert "cannot" in line
    kubeconfig = limited_user(cluster, namespace, tmp_path, read[1:])
    line = refused(subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT))
    assert 'cannot list resource "agentworkflows"' in line
    text = kubeconfig.read_text()
    kubeconfig.write_text(text.replace("token: ", "token: no"))
    line = refused(subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT))
    assert "does not accept the credentials" in line


def limited_user(cluster: Cluster, namespace: str, folder: Path, rules: list[dict[str, Any]]) -> Path:
    """A kubeconfig of a ServiceAccount that may do what `rules` say and nothing else."""
    account = {"kind": "ServiceAccount", "name": "limited", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    api_version = f"{group}/v1"
    reference = {"apiGroup": group, "kind": "Role", "name": "limited"}
    for manifest in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "limited"}},
        {"apiVersion": api_version, "kind": "Role", "metadata": {"name": "limited"}, "rules": rules},
        {
            "apiVersion": api_version,
            "kind": "RoleBinding",
            "metadata": {"name": "limited"},
            "roleRef": reference,
            "subjects": [account],
        },
    ):
        cluster.apply(manifest, namespace)
    asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = cluster.core.create_namespaced_service_account_token("limited", namespace, asked).status.token
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    context = next(one for one in config["contexts"] if one["name"] == config["current-context"])
    config["users"] = [{"name": context["context"]["user"], "user": {"token": token}}]
    file = folder / "limited.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file
