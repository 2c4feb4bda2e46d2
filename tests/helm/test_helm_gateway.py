"""The gateway of the chart: what its process is told, its token, its Service and Ingress."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from helm_chart import NAMESPACE, Chart, Object, environment_of, of_component, of_kind, one, pod_of
from milepost_gateway.settings import GatewaySettings

LOCAL_ONLY = {"agents", "gateway_static", "grace_seconds", "obs_mode"}
"""Settings that a pod has no use for, or whose default is right."""

pytestmark = pytest.mark.requirement("PKG-2")


def gateway(chart: Chart, **values: Any) -> list[Object]:
    return of_component(chart.render({"gateway": values}), "gateway")


def settings_of(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> GatewaySettings:
    for name, value in environment_of(objects, "gateway").items():
        monkeypatch.setenv(name, value)
    return GatewaySettings.load()


def test_the_gateway_takes_what_the_chart_tells_it(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "watch": {"namespaces": ["team-a", "team-b"]},
        "gateway": {
            "write": "never",
            "read": "token",
            "token": {"key": "a.b"},
            "prefix": "/team/milepost",
            "hosts": ["a.example.com", "*"],
            "streams": 7,
            "log": {"level": "ERROR", "format": "text"},
        },
    }
    settings = settings_of(chart.render(values), monkeypatch)
    assert (settings.gateway_discovery, settings.namespaces) == ("kubernetes", ["team-a", "team-b"])
    assert (settings.gateway_write, settings.gateway_read) == ("never", "token")
    assert str(settings.gateway_token_file) == "/etc/milepost/gateway/a.b"
    assert (settings.gateway_prefix, settings.gateway_hosts) == ("/team/milepost", ["a.example.com", "*"])
    assert (settings.gateway_streams, settings.log_level, settings.log_format) == (7, "ERROR", "text")
    assert settings.listen == "0.0.0.0:8400"


def test_several_pods_are_drained_one_at_a_time_and_one_alone_holds_up_no_drain(chart: Chart) -> None:
    assert not of_kind(gateway(chart), "PodDisruptionBudget")
    objects = gateway(chart, replicas=3)
    [budget] = of_kind(objects, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    labels = pod_of(objects, "gateway")["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_spans_of_the_gateway_go_where_those_of_agents_go(chart: Chart) -> None:
    objects = chart.render({"workloads": {"otlpEndpoint": "http://collector:4317"}})
    assert environment_of(objects, "gateway")["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4317"


def test_every_setting_of_the_gateway_is_told_and_none_that_it_does_not_know(chart: Chart) -> None:
    told = set(environment_of(chart.render(), "gateway"))
    assert told == {f"MILEPOST_{name.upper()}" for name in set(GatewaySettings.model_fields) - LOCAL_ONLY}


def test_a_token_is_made_where_none_is_named_and_lies_in_a_folder_that_changes_with_the_secret(chart: Chart) -> None:
    objects = gateway(chart)
    [(key, value)] = one(objects, "Secret", component="gateway")["data"].items()
    token = base64.b64decode(value).decode()
    assert key == "token" and len(token) == 40 and token.isalnum()
    spec = pod_of(objects, "gateway")["spec"]
    [mount] = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "token"]
    assert mount == {"name": "token", "mountPath": "/etc/milepost/gateway", "readOnly": True}
    [volume] = [each["secret"] for each in spec["volumes"] if each["name"] == "token"]
    assert volume == {"secretName": "milepost-gateway", "defaultMode": 0o440}


@pytest.mark.parametrize(
    ("values", "secret"),
    [
        ({"token": {"existingSecret": "ours"}}, "ours"),
        ({"write": "open"}, None),
        ({"write": "never"}, None),
        ({"write": "never", "read": "token", "token": {"existingSecret": "ours"}}, "ours"),
    ],
    ids=["named", "open", "read-only", "reading needs one"],
)
def test_no_token_is_made_that_is_named_or_not_asked_for(
    chart: Chart, values: dict[str, Any], secret: str | None
) -> None:
    objects = gateway(chart, **values)
    assert of_kind(objects, "Secret") == []
    volumes = pod_of(objects, "gateway")["spec"]["volumes"]
    assert [each["secret"]["secretName"] for each in volumes if "secret" in each] == ([secret] if secret else [])


def test_the_service_leads_to_the_port_of_the_pod(chart: Chart) -> None:
    objects = gateway(chart, service={"port": 80, "type": "NodePort"})
    service = one(objects, "Service", component="gateway")["spec"]
    labels = pod_of(objects, "gateway")["metadata"]["labels"]
    [container] = pod_of(objects, "gateway")["spec"]["containers"]
    assert service["selector"].items() <= labels.items()
    [port] = service["ports"]
    assert (service["type"], port["port"], port["targetPort"]) == ("NodePort", 80, container["ports"][0]["name"])
    assert one(objects, "Deployment", component="gateway")["spec"]["selector"]["matchLabels"] == service["selector"]


def test_an_ingress_leads_the_prefix_of_the_host_to_the_service(chart: Chart) -> None:
    assert of_kind(gateway(chart), "Ingress") == []
    asked = {"enabled": True, "className": "nginx", "host": "a.example.com", "tlsSecret": "certificate"}
    ingress = one(gateway(chart, prefix="/milepost", ingress=asked), "Ingress", component="gateway")
    assert ingress["metadata"]["namespace"] == NAMESPACE
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "certificate", "hosts": ["a.example.com"]}]
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("a.example.com", "/milepost", "Prefix")
    assert path["backend"]["service"] == {"name": "milepost-gateway", "port": {"name": "http"}}
    bare = one(gateway(chart, ingress={"enabled": True}), "Ingress", component="gateway")["spec"]
    assert set(bare) == {"rules"} and set(bare["rules"][0]) == {"http"}
    assert bare["rules"][0]["http"]["paths"][0]["path"] == "/"
