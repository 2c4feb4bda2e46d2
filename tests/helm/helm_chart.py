"""The chart as helm renders it, as plain objects."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "helm" / "milepost"
RELEASE = "milepost"
NAMESPACE = "milepost-system"
COMPONENT = "app.kubernetes.io/component"
OLDEST_KUBERNETES = "1.30.0"

Object = dict[str, Any]
Values = Mapping[str, Any]


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that stands twice in one mapping, which YAML forbids and PyYAML overlooks."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = {str(key) for key in keys if keys.count(key) > 1}
    if repeated:
        raise yaml.constructor.ConstructorError(None, None, f"repeated keys {sorted(repeated)}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class HelmError(Exception):
    """What helm said when it refused."""


@dataclass
class Chart:
    """One chart folder; what was rendered once is kept."""

    folder: Path = FOLDER
    _rendered: dict[str, list[Object]] = field(default_factory=dict)

    def render(self, values: Values | None = None, *, release: str = RELEASE) -> list[Object]:
        """All objects of a release in `NAMESPACE`. Raises HelmError."""
        given = json.dumps(values or {}, sort_keys=True)
        if (key := f"{release} {given}") not in self._rendered:
            text = self.helm("template", release, str(self.folder), "-n", NAMESPACE, values=given)
            documents = yaml.load_all(text, StrictLoader)
            self._rendered[key] = [document for document in documents if document]
        return self._rendered[key]

    def helm(self, verb: str, *arguments: str, values: str = "{}", kubernetes: str | None = OLDEST_KUBERNETES) -> str:
        """Runs helm with the values (JSON) on its input; its output. Raises HelmError."""
        command = ["helm", verb, *arguments, "--values", "-"]
        if kubernetes is not None:
            command += ["--kube-version", kubernetes]
        done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise HelmError(done.stderr + done.stdout)
        return done.stdout

    def copied(self, folder: Path, **changes: str) -> Chart:
        """A copy in an empty folder, with other values in Chart.yaml; an empty one removes the line."""
        copy = folder / "milepost"
        shutil.copytree(self.folder, copy)
        text = (copy / "Chart.yaml").read_text()
        for key, value in changes.items():
            line = f"{key}: {json.dumps(value)}\n" if value else ""
            text, count = re.subn(rf"(?m)^{key}: .*\n", line, text)
            assert count == 1, key
        (copy / "Chart.yaml").write_text(text)
        return Chart(copy)

    @cached_property
    def about(self) -> Object:
        """Chart.yaml."""
        return dict(yaml.safe_load((self.folder / "Chart.yaml").read_text()))

    @cached_property
    def defaults(self) -> Object:
        """values.yaml."""
        return dict(yaml.safe_load((self.folder / "values.yaml").read_text()))

    @cached_property
    def schema(self) -> Object:
        """values.schema.json."""
        return dict(json.loads((self.folder / "values.schema.json").read_text()))


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Those of the objects that are of one of the kinds."""
    return [found for found in objects if found["kind"] in kinds]


def of_component(objects: Sequence[Object], component: str = "operator") -> list[Object]:
    """The objects of the operator, which are the most, or those of the gateway."""
    return [each for each in objects if each["metadata"]["labels"][COMPONENT] == component]


def one(objects: Sequence[Object], kind: str, name: str | None = None, component: str = "operator") -> Object:
    """The only object of a kind, or of a kind and a name, of a component."""
    found = of_kind(of_component(objects, component), kind)
    [only] = [each for each in found if name in {None, each["metadata"]["name"]}]
    return only


def key_of(found: Object) -> tuple[str, str, str]:
    """Kind, namespace ("" for none) and name."""
    metadata = found["metadata"]
    return found["kind"], metadata.get("namespace", ""), metadata["name"]


def pod_of(objects: Sequence[Object], component: str = "operator") -> Object:
    """The pod template of a component's only workload."""
    [pod] = pods_of(of_component(objects, component))
    return pod


def pods_of(objects: Sequence[Object]) -> Iterator[Object]:
    """The pod template of every workload."""
    for found in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
        yield found["spec"]["template"]


def environment_of(objects: Sequence[Object], component: str = "operator") -> dict[str, Any]:
    """A component's environment: a value, or what it is taken from."""
    [container] = pod_of(objects, component)["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
