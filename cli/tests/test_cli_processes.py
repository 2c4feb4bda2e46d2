"""From workloads to processes: what each is told, and what is written for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from milepost_cli.child import ProcessSpec
from milepost_cli.errors import StartError, UsageError
from milepost_cli.processes import LOG_LIMIT, Folders, Placement, assign_http, assign_targets, process_spec
from milepost_cli.state import StateDirectory
from milepost_cli.up import read_workloads
from milepost_operator.planning import Workload

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def specs_of(example: str, state: StateDirectory) -> tuple[list[Workload], dict[str, ProcessSpec]]:
    workloads = read_workloads([EXAMPLES / example])
    targets = assign_targets(workloads, None)
    http = assign_http(workloads, targets.values())
    placement = Placement(state, Path("/cache"), Path("/cache/router.gguf"), Folders(), targets, http)
    programs = {workload.command[0]: f"/bin/{workload.command[0]}" for workload in workloads}
    registries = placement.registries(workloads)
    state.logs.mkdir(parents=True, exist_ok=True)
    made = [process_spec(workload, programs, placement, registries) for workload in workloads]
    return workloads, {spec.name: spec for spec in made}


@pytest.mark.requirement("CLI-1")
def test_processes_of_an_example_know_one_another(tmp_path: Path) -> None:
    _, specs = specs_of("review-loop", StateDirectory(tmp_path))
    agent, docs = specs["review-loop"], specs["docs"]
    assert docs.env["MILEPOST_REGISTRIES"] == agent.target == agent.env["MILEPOST_LISTEN"]
    assert docs.env["MILEPOST_MODEL_TARGET"] == specs["smollm2"].target
    assert agent.env["MILEPOST_DATA_DIR"] == str(tmp_path / "agents" / "review-loop")
    assert len({spec.target for spec in specs.values()}) == len(specs) == 4


@pytest.mark.requirement("MOD-2")
def test_models_alone_answer_http_each_at_an_address_of_its_own(tmp_path: Path) -> None:
    _, specs = specs_of("review-loop", StateDirectory(tmp_path))
    model = specs.pop("smollm2")
    assert model.env["MILEPOST_HTTP_LISTEN"] == model.http != ""
    assert model.http not in {model.target, *(spec.target for spec in specs.values())}
    assert all(not spec.http and "MILEPOST_HTTP_LISTEN" not in spec.env for spec in specs.values())


def test_documents_of_a_config_map_are_written_and_stale_ones_go(tmp_path: Path) -> None:
    documents = tmp_path / "services" / "docs" / "documents"
    documents.mkdir(parents=True)
    (documents / "old.md").write_text("gone from the ConfigMap")
    _, specs = specs_of("review-loop", StateDirectory(tmp_path))
    assert specs["docs"].env["MILEPOST_DOCUMENTS_DIR"] == str(documents)
    assert sorted(file.name for file in documents.iterdir()) == ["errors.md", "python-style.md", "testing.md"]


def test_model_on_a_claim_is_looked_for_in_the_folder_that_stands_for_it(tmp_path: Path) -> None:
    manifests, models = tmp_path / "manifests", tmp_path / "models"
    shutil.copytree(EXAMPLES / "linear", manifests)
    text = (manifests / "models.yaml").read_text()
    package = text[text.index("      package:") : text.index("    quantization:")]
    claim = "      persistentVolumeClaim: {claimName: weights, path: small.gguf}\n"
    (manifests / "models.yaml").write_text(text.replace(package, claim))
    models.mkdir()
    workloads = read_workloads([manifests], Folders({"weights": models}))
    state = StateDirectory(tmp_path / "state")
    state.logs.mkdir(parents=True)
    targets = assign_targets(workloads, None)
    placement = Placement(state, Path("/cache"), Path("/cache/router.gguf"), Folders({"weights": models}), targets)
    model = next(workload for workload in workloads if workload.role == "model")
    spec = process_spec(model, {"milepost-model": "/bin/true"}, placement, "")
    assert spec.env["MILEPOST_MODEL_VOLUME_DIR"] == str(models)


@pytest.mark.requirement("RTR-5")
def test_router_model_on_a_claim_needs_a_folder_that_stands_for_it(tmp_path: Path) -> None:
    manifests, models = tmp_path / "manifests", tmp_path / "models"
    shutil.copytree(EXAMPLES / "linear", manifests)
    models.mkdir()
    source = "    model: {source: {persistentVolumeClaim: {claimName: weights, path: large.gguf}}}\n"
    text = (manifests / "workflow.yaml").read_text()
    assert "  router:\n" in text
    (manifests / "workflow.yaml").write_text(text.replace("  router:\n", f"  router:\n{source}"))
    with pytest.raises(UsageError, match=r"^AgentWorkflow linear: spec\.router\.model\.source.* --volume weights=DIR$"):
        read_workloads([manifests])
    workloads = read_workloads([manifests], Folders({"weights": models}))
    state = StateDirectory(tmp_path / "state")
    state.logs.mkdir(parents=True)
    folders, targets = Folders({"weights": models}), assign_targets(workloads, None)
    placement = Placement(state, Path("/cache"), Path("/r.gguf"), folders, targets)
    agent = next(workload for workload in workloads if workload.role == "agent")
    spec = process_spec(agent, {"milepost-agent": "/bin/true"}, placement, "")
    assert spec.env["MILEPOST_MODEL_VOLUME_DIR"] == str(models)


def test_file_name_cannot_leave_the_state_directory(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    workloads, _ = specs_of("linear", state)
    model = workloads[0]
    outside = Workload(**{**vars(model), "files": {"documents/../../../../outside.md": "x"}})
    placement = Placement(state, Path("/cache"), Path("/cache/router.gguf"), Folders(), {model.name: "127.0.0.1:1"})
    with pytest.raises(StartError, match="no file name"):
        process_spec(outside, {"milepost-model": "/bin/true"}, placement, "")
    assert not (tmp_path / "outside.md").exists()


def test_long_log_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "smollm2.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (LOG_LIMIT + 1))
    specs_of("linear", StateDirectory(tmp_path))
    assert not log.exists()
    assert log.with_name("smollm2.log.1").stat().st_size == LOG_LIMIT + 1


@pytest.mark.parametrize("value", ["shelf", "=folder", "shelf="])
def test_volume_must_name_claim_and_folder(value: str) -> None:
    with pytest.raises(UsageError, match="CLAIM=DIR"):
        Folders.parse(volumes=[value], secrets=[])


def test_a_secret_must_name_itself_and_a_folder(tmp_path: Path) -> None:
    assert Folders.parse(volumes=[], secrets=[f"llm={tmp_path}"]).secrets == {"llm": tmp_path.resolve()}
    with pytest.raises(UsageError, match=r"--secret llm: must be NAME=DIR"):
        Folders.parse(volumes=[], secrets=["llm"])
    with pytest.raises(UsageError, match="nowhere is no directory"):
        Folders.parse(volumes=[], secrets=[f"llm={tmp_path / 'nowhere'}"])


@pytest.mark.requirement("MOD-4", "CRD-2", "SEC-1")
@pytest.mark.parametrize(
    ("engine", "field", "variable"),
    [
        (
            "openAI: {baseURL: https://llm.example.org/v1, model: large, secretRef: {name: llm, key: token}}",
            "openAI.secretRef",
            "MILEPOST_API_KEY_FILE",
        ),
        (
            "llamaCpp: {source: {huggingFace: {repo: a/b, file: c.gguf}, secretRef: {name: llm, key: token}}}",
            "llamaCpp.source.secretRef",
            "MILEPOST_MODEL_TOKEN_FILE",
        ),
    ],
)
def test_the_key_of_a_secret_is_a_file_of_the_folder_that_stands_for_it(
    tmp_path: Path, engine: str, field: str, variable: str
) -> None:
    manifests, keys = tmp_path / "manifests", tmp_path / "keys"
    shutil.copytree(EXAMPLES / "linear", manifests)
    (manifests / "remote.yaml").write_text(
        "apiVersion: milepost.dev/v1alpha1\n"
        "kind: ModelService\n"
        "metadata: {name: remote}\n"
        "spec:\n"
        "  capabilities: [general]\n"
        f"  {engine}\n"
    )
    keys.mkdir()
    folders = Folders(secrets={"llm": keys})
    with pytest.raises(UsageError, match=rf"^ModelService remote: spec\.{re.escape(field)}: .* --secret llm=DIR$"):
        read_workloads([manifests], folders)
    (keys / "token").write_text("sk-secret")
    workloads = read_workloads([manifests], folders)
    state = StateDirectory(tmp_path / "state")
    state.logs.mkdir(parents=True)
    targets = assign_targets(workloads, None)
    placement = Placement(state, Path("/cache"), Path("/cache/router.gguf"), folders, targets)
    remote = next(workload for workload in workloads if workload.name == "remote")
    spec = process_spec(remote, {"milepost-model": "/bin/true"}, placement, "")
    assert spec.env[variable] == str(keys / "token")
    assert "sk-secret" not in str(spec)
    written = [file.read_text() for file in state.home("model", "remote").rglob("*") if file.is_file()]
    assert written
    assert not any("sk-secret" in text for text in written)
