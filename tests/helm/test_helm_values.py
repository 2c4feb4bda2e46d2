"""Values are refused with one line that names their path, and the documented ones are all there is."""

from __future__ import annotations

from typing import Any

import pytest

from helm_chart import Chart, HelmError, Object, environment_of, one
from helm_values import described_paths, paths
from milepost_operator.settings import OperatorSettings

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"image": {"tag": "1"}}, "", "additional properties 'image' not allowed"),
    ({"gateway": {"write": "all"}}, "/gateway/write", "'token', 'open', 'never'"),
    ({"gateway": {"prefix": "milepost/"}}, "/gateway/prefix", "does not match"),
    ({"gateway": {"hosts": ["https://x"]}}, "/gateway/hosts/0", "does not match"),
    ({"gateway": {"token": {"value": "x"}}}, "/gateway/token", "additional properties 'value' not allowed"),
    ({"gateway": {"service": {"port": 0}}}, "/gateway/service/port", "minimum: got 0, want 1"),
    ({"crds": {"enabled": "yes"}}, "/crds/enabled", "got string, want boolean"),
    ({"crds": {"enabled": None}}, "/crds", "missing property 'enabled'"),
    ({"watch": None}, "", "missing property 'watch'"),
    ({"watch": {"namespaces": "default"}}, "/watch/namespaces", "got string, want array"),
    ({"watch": {"namespaces": ["Team_A"]}}, "/watch/namespaces/0", "'Team_A' does not match"),
    ({"watch": {"namespaces": ["a", "a"]}}, "/watch/namespaces", "items at 0 and 1 are equal"),
    ({"fullnameOverride": "A"}, "/fullnameOverride", "'A' does not match"),
    ({"commonLabels": {"a": 1}}, "/commonLabels/a", "got number, want string"),
    ({"images": {"pullPolicy": "Sometimes"}}, "/images/pullPolicy", "'IfNotPresent', 'Always', 'Never'"),
    ({"images": {"agent": {"digest": "sha256:abc"}}}, "/images/agent/digest", "does not match"),
    ({"images": {"agent": {"tag": "a b"}}}, "/images/agent/tag", "does not match"),
    ({"images": {"agent": {"repository": ""}}}, "/images/agent/repository", "does not match"),
    ({"images": {"agent": {"pullPolicy": "Never"}}}, "/images/agent", "additional properties 'pullPolicy'"),
    ({"images": {"registry": "https://x"}}, "/images/registry", "does not match"),
    ({"images": {"pullSecrets": ["a"]}}, "/images/pullSecrets/0", "got string, want object"),
    ({"workloads": {"accessMode": "ReadWriteMany"}}, "/workloads/accessMode", "'ReadWriteOncePod', 'ReadWriteOnce'"),
    ({"workloads": {"otlpEndpoint": "collector:4317"}}, "/workloads/otlpEndpoint", "does not match"),
    ({"workloads": {"huggingFaceEndpoint": "hub"}}, "/workloads/huggingFaceEndpoint", "does not match"),
    ({"operator": {"replicas": 2}}, "/operator", "additional properties 'replicas' not allowed"),
    ({"operator": {"concurrency": 0}}, "/operator/concurrency", "minimum: got 0, want 1"),
    ({"operator": {"concurrency": 1.5}}, "/operator/concurrency", "got number, want integer"),
    ({"operator": {"resyncSeconds": 86_401}}, "/operator/resyncSeconds", "maximum: got 86,401, want 86,400"),
    ({"operator": {"log": {"level": "TRACE"}}}, "/operator/log/level", "'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
    ({"operator": {"resources": {"limits": {"memory": "lots"}}}}, "/operator/resources/limits/memory", "not match"),
    ({"operator": {"extraEnv": [{"value": "x"}]}}, "/operator/extraEnv/0", "missing property 'name'"),
    ({"operator": {"tolerations": [{"op": "Exists"}]}}, "/operator/tolerations/0", "additional properties 'op'"),
    ({"metrics": {"serviceMonitor": {"interval": "often"}}}, "/metrics/serviceMonitor/interval", "does not match"),
    ({"networkPolicy": {"apiServer": {"ports": []}}}, "/networkPolicy/apiServer/ports", "minItems: got 0, want 1"),
    ({"networkPolicy": {"apiServer": {"ports": [0]}}}, "/networkPolicy/apiServer/ports/0", "minimum: got 0, want 1"),
    ({"networkPolicy": {"extraEgress": [{"from": []}]}}, "/networkPolicy/extraEgress/0", "additional properties"),
]
REFUSED_LATER: list[tuple[dict[str, Any], str]] = [
    ({"operator": {"extraEnv": [{"name": "A"}, {"name": "MILEPOST_NAMESPACES"}]}}, "operator.extraEnv[1].name: "),
    ({"operator": {"extraEnv": [{"name": "A"}, {"name": "A"}]}}, "operator.extraEnv[1].name: A is set "),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name: is empty; allowed: "),
]

pytestmark = pytest.mark.requirement("PKG-2")


@pytest.mark.parametrize(("values", "path", "told"), REFUSED, ids=[f"{path}: {told}" for _, path, told in REFUSED])
def test_a_wrong_value_is_one_line_that_names_its_path(
    values: dict[str, Any], path: str, told: str, chart: Chart
) -> None:
    with pytest.raises(HelmError) as refused:
        chart.render(values)
    [line] = [line for line in str(refused.value).splitlines() if line.startswith("- at")]
    assert line.startswith(f"- at '{path}': ")
    assert told in line


@pytest.mark.parametrize(("values", "told"), REFUSED_LATER, ids=[told for _, told in REFUSED_LATER])
def test_what_a_schema_cannot_say_is_refused_by_the_templates(values: dict[str, Any], told: str, chart: Chart) -> None:
    with pytest.raises(HelmError) as refused:
        chart.render(values)
    assert told in str(refused.value)


def test_the_schema_knows_every_value_and_the_values_have_every_default(chart: Chart) -> None:
    described = set(described_paths(chart.schema, chart.schema)) - {"global"}
    assert described == set(paths(chart.defaults, described))


def test_every_value_that_is_described_is_needed_somewhere(chart: Chart) -> None:
    texts = "".join(path.read_text() for path in sorted((chart.folder / "templates").iterdir()))
    roles = {"operator", "agent", "model", "rag", "tools", "gateway"}
    for path in described_paths(chart.schema, chart.schema):
        last = path.rsplit(".", 1)[-1]
        assert path == "global" or last in roles or f".{last}" in texts, f"{path} is not read by any template"


def test_the_operator_takes_what_the_chart_tells_it(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "watch": {"namespaces": ["team-a", "team-b"]},
        "images": {"registry": "a.example.com:5000/x", "rag": {"digest": "sha256:" + "0" * 64}, "pullPolicy": "Never"},
        "workloads": {
            "accessMode": "ReadWriteOnce",
            "otlpEndpoint": "http://collector:4317",
            "huggingFaceEndpoint": "https://hub.example.com/x",
        },
        "operator": {"concurrency": 7, "resyncSeconds": 61, "log": {"level": "ERROR", "format": "json"}},
    }
    settings = settings_of(chart.render(values), monkeypatch)
    assert settings.namespaces == ("team-a", "team-b")
    assert settings.image_agent == "a.example.com:5000/x/milepost-agent:0.1.0"
    assert settings.image_rag == "a.example.com:5000/x/milepost-rag@sha256:" + "0" * 64
    assert settings.image_pull_policy == "Never"
    assert settings.access_mode == "ReadWriteOnce"
    assert settings.otlp_endpoint == "http://collector:4317"
    assert settings.hugging_face_endpoint == "https://hub.example.com/x"
    assert (settings.concurrency, settings.resync_seconds) == (7, 61.0)
    assert (settings.log_level, settings.log_format) == ("ERROR", "json")
    assert (settings.health_port, settings.metrics_port) == (8080, 8081)
    assert (settings.pod_name, settings.pod_namespace) == ("metadata.name", "metadata.namespace")


def test_every_setting_of_the_operator_is_told_and_none_that_it_does_not_know(chart: Chart) -> None:
    environment = environment_of(
        chart.render({"workloads": {"otlpEndpoint": "http://collector:4317", "huggingFaceEndpoint": "https://hub"}})
    )
    assert environment.pop("MALLOC_ARENA_MAX") == "2"
    told = set(environment)
    assert told == {f"MILEPOST_{name.upper()}" for name in OperatorSettings.model_fields}


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_the_operator_takes_the_bounds_of_the_schema(bound: str, chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = chart.schema["properties"]["operator"]["properties"]
    values = {name: numbers[name][bound] for name in ("concurrency", "resyncSeconds")}
    settings = settings_of(chart.render({"operator": values}), monkeypatch)
    assert (settings.concurrency, settings.resync_seconds) == tuple(values.values())


def settings_of(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> OperatorSettings:
    """The settings of an operator in the rendered pod; references to its pod become the field's path."""
    for name, value in environment_of(objects).items():
        monkeypatch.setenv(name, value if isinstance(value, str) else value["fieldRef"]["fieldPath"])
    return OperatorSettings.load()


def test_the_account_that_is_named_is_bound(chart: Chart) -> None:
    objects = chart.render({"serviceAccount": {"name": "someone"}})
    assert one(objects, "ServiceAccount")["metadata"]["name"] == "someone"
    assert one(objects, "ClusterRoleBinding")["subjects"][0]["name"] == "someone"
