"""What the pods of a model that is fetched are given: a cache, time, a token, a hub, and a way out."""

from dataclasses import replace
from typing import Any

import pytest
from operator_cases import DEFAULTS, SMOLLM2, model, planned, workflow

from milepost_operator.observation import Object, Resource

pytestmark = pytest.mark.requirement("CRD-2", "OPR-2")

BY_URL = {"url": "https://models.example.org/a.gguf", "sha256": "0" * 64}
AT_HUB = {"huggingFace": {"repo": "example/small", "file": "a.gguf"}, "secretRef": {"name": "hub", "key": "token"}}
HUB = "https://hub.example.org"


def workload(resource: Resource) -> Object:
    done = planned(resource, defaults=replace(DEFAULTS, hugging_face_endpoint=HUB))
    (found,) = [each for each in done.apply if each["kind"] in {"Deployment", "StatefulSet"}]
    return found


def pod(resource: Resource) -> Any:
    return workload(resource)["spec"]["template"]


def told(resource: Resource) -> dict[str, str]:
    return {each["name"]: each.get("value") for each in pod(resource)["spec"]["containers"][0]["env"]}


def volumes(resource: Resource) -> dict[str, Any]:
    return {each["name"]: each for each in pod(resource)["spec"]["volumes"]}


@pytest.mark.parametrize("source", [BY_URL, AT_HUB])
def test_a_fetched_model_has_a_cache_that_lasts_in_a_service_and_one_of_the_pod_in_an_agent(source: Any) -> None:
    service, agent = model(llamaCpp={"source": source}), workflow(router={"model": {"source": source}})
    assert volumes(service)["cache"]["persistentVolumeClaim"] == {"claimName": "writer-cache"}
    assert volumes(agent)["cache"]["emptyDir"] == {}
    for resource in (service, agent):
        mounts = pod(resource)["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "cache", "mountPath": told(resource)["MILEPOST_CACHE_DIR"]} in mounts
        assert pod(resource)["metadata"]["labels"]["milepost.dev/downloads"] == "true"


def test_the_cache_is_asked_for_as_the_spec_says() -> None:
    cache = {"size": "20Gi", "className": "shared", "accessMode": "ReadWriteMany"}
    done = planned(model(llamaCpp={"source": BY_URL, "cache": cache}))
    [claim] = [each["spec"] for each in done.apply if each["kind"] == "PersistentVolumeClaim"]
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    assert (claim["storageClassName"], claim["accessModes"]) == ("shared", ["ReadWriteMany"])


def test_only_what_fetches_is_let_out_and_given_time() -> None:
    fetched, carried = workload(model(llamaCpp={"source": BY_URL})), workload(model())
    assert fetched["spec"]["progressDeadlineSeconds"] == 12 * carried["spec"]["progressDeadlineSeconds"]
    packaged = workflow(router={"model": {"source": SMOLLM2["source"]}})
    for resource in (model(), packaged, workflow()):
        assert "milepost.dev/downloads" not in pod(resource)["metadata"]["labels"]
    assert "cache" not in volumes(packaged)


def test_the_way_out_is_no_part_of_what_selects_the_pods() -> None:
    found = workload(model(llamaCpp={"source": BY_URL}))
    assert "milepost.dev/downloads" not in found["spec"]["selector"]["matchLabels"]


def test_a_token_is_mounted_and_never_in_the_environment() -> None:
    for resource in (model(llamaCpp={"source": AT_HUB}), workflow(router={"model": {"source": AT_HUB}})):
        secret = volumes(resource)["model-token"]["secret"]
        assert (secret["secretName"], secret["items"]) == ("hub", [{"key": "token", "path": "model-token"}])
        [mount] = [
            each for each in pod(resource)["spec"]["containers"][0]["volumeMounts"] if each["name"] == "model-token"
        ]
        assert mount["readOnly"] is True
        assert told(resource)["MILEPOST_MODEL_TOKEN_FILE"] == f"{mount['mountPath']}/model-token"
    assert "MILEPOST_MODEL_TOKEN_FILE" not in told(model(llamaCpp={"source": BY_URL}))


def test_the_hub_of_the_installation_is_told_where_it_is_asked() -> None:
    assert told(model(llamaCpp={"source": AT_HUB}))["HF_ENDPOINT"] == HUB
    assert told(workflow(router={"model": {"source": AT_HUB}}))["HF_ENDPOINT"] == HUB
    assert "HF_ENDPOINT" not in told(model(llamaCpp={"source": BY_URL}))
