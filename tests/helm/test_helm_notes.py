"""What the chart tells after an installation are commands that work."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from helm_chart import NAMESPACE, RELEASE, ROOT, Chart, Values, one
from milepost_cli.main import parser
from milepost_crds import load_manifests

pytestmark = pytest.mark.requirement("PKG-2")


def commands(chart: Chart, folder: Path, values: Values) -> list[list[str]]:
    """The indented lines of the notes; rendered as an object, because without a cluster helm shows objects alone."""
    copy = chart.copied(folder)
    notes = copy.folder / "templates" / "NOTES.txt"
    lines = notes.read_text().splitlines()
    (copy.folder / "templates" / "notes.yaml").write_text("\n".join(["notes: |", *(f"  {line}" for line in lines), ""]))
    arguments = (RELEASE, str(copy.folder), "-n", NAMESPACE, "--show-only", "templates/notes.yaml")
    text = copy.helm("template", *arguments, values=json.dumps(values))
    told = yaml.safe_load(text)["notes"].splitlines()
    return [shlex.split(line) for line in told if line.startswith("  ")]


@pytest.mark.parametrize(("watched", "used"), [([], "default"), (["team-a", "team-b"], "team-a")])
def test_the_notes_apply_run_and_watch(watched: list[str], used: str, chart: Chart, tmp_path: Path) -> None:
    apply, run, watch, *_ = commands(chart, tmp_path, {"watch": {"namespaces": watched}})
    assert apply[:5] == ["kubectl", "apply", "--namespace", used, "-f"]
    names = {manifest.resource.name for manifest in load_manifests(sorted((ROOT / apply[5]).glob("*.yaml")))}
    asked = parser().parse_args(run[1:])
    assert run[0] == "milepost" and asked.workflow in names and asked.namespace == used
    watched_run = parser().parse_args(watch[1:])
    assert watch[:2] == ["milepost", "watch"] and watched_run.namespace == used


@pytest.mark.parametrize(
    ("gateway", "secret"),
    [({}, "milepost-gateway"), ({"read": "token", "write": "never", "token": {"existingSecret": "ours"}}, "ours")],
)
def test_the_notes_lead_to_the_ui_and_its_token(
    gateway: dict[str, object], secret: str, chart: Chart, tmp_path: Path
) -> None:
    values = {"gateway": {"service": {"port": 80}, **gateway}}
    *_, shown, forward, token = commands(chart, tmp_path, values)
    service = one(chart.render(values), "Service", component="gateway")
    name = service["metadata"]["name"]
    asked = parser().parse_args(shown[1:])
    assert shown[:2] == ["milepost", "ui"] and asked.namespace == NAMESPACE
    assert forward == ["kubectl", "port-forward", "--namespace", NAMESPACE, f"service/{name}", "8400:80"]
    assert token[:6] == ["kubectl", "get", "secret", "--namespace", NAMESPACE, secret]
    assert token[6:] == ["--output", 'go-template={{index .data "token" | base64decode}}']


@pytest.mark.parametrize(("gateway", "count"), [({"enabled": False}, 3), ({"write": "open"}, 5)])
def test_the_notes_name_no_gateway_and_no_token_where_there_is_none(
    gateway: dict[str, object], count: int, chart: Chart, tmp_path: Path
) -> None:
    assert len(commands(chart, tmp_path, {"gateway": gateway})) == count
