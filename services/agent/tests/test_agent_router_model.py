"""`spec.router.model` in an agent process: it answers runs, and where it cannot, they are told why and go on."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc.aio
import pytest

from agent_harness import ScriptedService
from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_agent.router import LanguageModelSettings
from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.language_model_engine import LanguageModelEngine
from milepost_agent.router_model import language_model
from milepost_crds import RouterModel
from milepost_service.models import sha256_of
from milepost_service.testing import free_port

pytestmark = [pytest.mark.requirement("RTR-5"), pytest.mark.models]

PATIENCE = 300.0


class AgentProcess:
    """An agent whose router has the model at `path` on the claim that is mounted at `volume`."""

    def __init__(self, folder: Path, volume: Path, path: str) -> None:
        self.folder = folder
        (folder / "workflow.yaml").write_text(
            f"""\
apiVersion: milepost.dev/v1alpha1
kind: AgentWorkflow
metadata: {{name: flow}}
spec:
  pattern: linear
  steps: [{{name: code, role: coder, capability: coding}}]
  arbitrator: {{modelRef: {{name: worker}}}}
  router:
    model:
      source: {{persistentVolumeClaim: {{claimName: models, path: {path}}}}}
      deadline: 60s
"""
        )
        self.log = folder / "log"
        self.target, self.metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        settings = {
            "MILEPOST_LISTEN": self.target,
            "MILEPOST_METRICS_LISTEN": self.metrics,
            "MILEPOST_WORKFLOW_FILE": str(folder / "workflow.yaml"),
            "MILEPOST_DATA_DIR": str(folder),
            "MILEPOST_MODEL_VOLUME_DIR": str(volume),
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "milepost_agent"], env={**os.environ, **settings}, stderr=output
            )

    def until_said(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.log.read_text():
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    async def recommended(self, service: ScriptedService) -> Any:
        """The recommendation that a run goes on with, as its journal has it; the run completes."""
        entry = service.entry()
        async with grpc.aio.insecure_channel(self.target) as channel:
            registered = registry_pb2.Service(
                name=entry.name, target=entry.target, capabilities=entry.capabilities, description=entry.description
            )
            await registry_pb2_grpc.RegistryServiceStub(channel).Register(
                registry_pb2.RegisterRequest(service=registered), wait_for_ready=True, timeout=PATIENCE
            )
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            started = await stub.StartRun(agent_pb2.StartRunRequest(prompt="Write a sorting function"), timeout=60)
            watched = agent_pb2.WatchRunRequest(run_id=started.run.run_id)
            events = {each.event.type: each.event async for each in stub.WatchRun(watched, timeout=PATIENCE)}
        assert events["RunCompleted"].data["outcome"] == "Completed"
        return events["Recommended"].data

    def counted(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=60) as answer:
            lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
        start = 'milepost_router_recommendations_total{path="'
        return {name.removeprefix(start)[:-2]: float(lines[name]) for name in lines if name.startswith(start)}

    def ends(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path, str], AgentProcess]]:
    started: list[AgentProcess] = []

    def start_agent(volume: Path, path: str) -> AgentProcess:
        started.append(AgentProcess(tmp_path, volume, path))
        return started[-1]

    yield start_agent
    for agent in started:
        agent.process.kill()
        agent.process.wait()


@pytest.fixture
def calibrated(smollm2: Path, kept: Path) -> Path:
    """A folder with the calibration of the model, fitted where no test did it before."""
    engine = LanguageModelEngine(LanguageModelSettings(find=lambda: smollm2, kept_in=kept))
    assert engine.wait(PATIENCE) is None
    engine.close()
    return kept


async def test_runs_are_recommended_to_by_the_model_of_the_spec(
    tmp_path: Path, start: Callable[..., AgentProcess], smollm2: Path, calibrated: Path, worker: ScriptedService
) -> None:
    """And counted by it."""
    shutil.copytree(calibrated, tmp_path / "router")
    agent = start(smollm2.parent, smollm2.name)
    agent.until_said(f"The router's language model {smollm2.name} answers from now on")
    recommended = await agent.recommended(worker)
    assert (recommended["path"], recommended["fallback_reason"]) == ("language_model", None)
    assert smollm2.name in recommended["reasoning"]
    assert agent.counted() == {"language_model": 1, "embedding": 0, "keywords": 0}
    assert agent.ends() == 0


async def test_a_run_goes_on_without_a_model_that_is_missing_and_its_journal_names_it(
    tmp_path: Path, start: Callable[..., AgentProcess], worker: ScriptedService
) -> None:
    agent = start(tmp_path, "missing.gguf")
    agent.until_said("The router goes on without its language model")
    recommended = await agent.recommended(worker)
    assert recommended["path"] == "keywords"
    assert recommended["fallback_reason"] == (
        f"language model: spec.router.model.source.persistentVolumeClaim.path: {tmp_path / 'missing.gguf'} cannot be "
        "read: No such file or directory; embedding: no router model is configured"
    )
    assert agent.counted() == {"language_model": 0, "embedding": 0, "keywords": 1}
    assert agent.ends() == 0


def test_an_agent_ends_in_order_while_its_model_is_being_loaded(
    start: Callable[..., AgentProcess], smollm2: Path, tmp_path: Path
) -> None:
    """Which takes longer than it has: it reads the whole tuning set, and has kept nothing of that yet."""
    agent = start(smollm2.parent, smollm2.name)
    agent.until_said("serving on")
    assert agent.ends() == 0
    assert not list(tmp_path.glob("router/*.json"))


def _spec(smollm2: Path, **source: Any) -> RouterModel:
    claim = {"claimName": "models", "path": smollm2.name}
    return RouterModel.model_validate({"source": {"persistentVolumeClaim": claim, **source}})


def _told(spec: RouterModel, volume: Path, cgroup: Path) -> LanguageModelSettings:
    told = language_model(spec, cache_dir=cgroup / "cache", volume_dir=volume, cgroup_dir=cgroup, kept_in=cgroup)
    assert told is not None
    return told


def test_a_file_with_another_checksum_is_refused(smollm2: Path, tmp_path: Path) -> None:
    told = _told(_spec(smollm2, sha256="0" * 64), smollm2.parent, tmp_path)
    with pytest.raises(ModelUnusableError, match=r"spec\.router\.model\.source\.sha256: .* allowed: 0000"):
        told.find()


def test_a_model_without_room_is_refused_by_name_before_it_is_loaded(smollm2: Path, tmp_path: Path) -> None:
    """With the limit that would do."""
    (tmp_path / "memory.max").write_text(f"{400 * 1024**2}\n")
    told = _told(_spec(smollm2), smollm2.parent, tmp_path)
    with pytest.raises(ModelUnusableError) as caught:
        told.find()
    message = str(caught.value)
    assert message.startswith(f"spec.resources.limits.memory: 400Mi is too little for {smollm2.name} (138Mi of weights")
    (tmp_path / "memory.max").write_text(f"{int(message.split('allowed: ')[1].split('Mi')[0]) * 1024**2}\n")
    assert told.find() == smollm2


@pytest.mark.requirement("CRD-2")
def test_a_model_by_url_is_fetched_into_the_cache_and_found_there_again(smollm2: Path, tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=smollm2.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{smollm2.name}"
        spec = RouterModel.model_validate({"source": {"url": url, "sha256": sha256_of(smollm2)}})
        told = language_model(spec, cache_dir=tmp_path, volume_dir=None, cgroup_dir=tmp_path, kept_in=tmp_path)
        assert told is not None
        found = told.find()
        server.shutdown()
    assert (found.parent, found.stat().st_size) == (tmp_path, smollm2.stat().st_size)
    assert told.find() == found


def test_the_spec_says_deadline_and_threads(smollm2: Path, tmp_path: Path) -> None:
    assert language_model(None, cache_dir=tmp_path, volume_dir=None, cgroup_dir=tmp_path, kept_in=tmp_path) is None
    told = _told(_spec(smollm2), smollm2.parent, tmp_path)
    assert (told.deadline_seconds, told.threads) == (2, 1)
    changed = _spec(smollm2).model_copy(update={"deadline": "5s", "threads": 2})
    told = _told(changed, smollm2.parent, tmp_path)
    assert (told.deadline_seconds, told.threads) == (5, 2)
