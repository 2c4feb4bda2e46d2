"""What lies in the images: their user, their packages, nothing to build or to climb with, sizes within the limits."""

from __future__ import annotations

from typing import Any

import pytest
from containers import BY_TARGET, docker, image_of, inspected, look_inside, require_docker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image_layers import ROLES, SLIM_BASE_MB, Role

pytestmark = [pytest.mark.images, pytest.mark.requirement("PKG-2")]

INSTALLED = """
import importlib.metadata, json, sys
print(json.dumps({d.name: [d.version, d.requires or []] for d in importlib.metadata.distributions(path=sys.path[1:])}))
"""
IMPORT_ALL = """
import importlib, json, pkgutil, sys
failed = {}
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + ".", onerror=lambda name: None):
        try:
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        except ImportError as error:
            failed[module.name] = str(error)
print(json.dumps(failed))
"""
FORBIDDEN_COMMANDS = "gcc cc g++ c++ clang ld as make cmake pip pip3 milepost"
BASE_PYTHON = "import sys, json, importlib.util as u; print(json.dumps([m for m in sys.argv[1:] if u.find_spec(m)]))"


@pytest.fixture(params=ROLES, ids=lambda role: role.target)
def role(request: pytest.FixtureRequest) -> Role:
    require_docker()
    assert isinstance(request.param, Role)
    return request.param


def test_an_image_runs_its_process_as_10001_without_a_shell(role: Role) -> None:
    config = inspected(image_of(role))["Config"]
    process = "model" if role.target.startswith("model") else role.target
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == [f"/opt/milepost/bin/milepost-{process}"]
    assert not config["Cmd"]
    assert config["Labels"]["org.opencontainers.image.title"] == role.image


def test_sizes_stay_within_the_limits(role: Role) -> None:
    found = inspected(image_of(role))
    base = inspected(found["Config"]["Labels"]["org.opencontainers.image.base.name"])
    on_slim = SLIM_BASE_MB + (found["Size"] - base["Size"]) / 1e6
    assert role.limit_mb is None or on_slim < role.limit_mb


def test_there_is_no_compiler_and_no_installer(role: Role) -> None:
    image = image_of(role)
    script = f"for name in {FORBIDDEN_COMMANDS}; do command -v $name; done; true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", script).stdout == ""
    installers = ["pip", "ensurepip", "setuptools", "wheel"]
    assert look_inside(image, BASE_PYTHON, *installers) == []
    base_python = docker(
        "run", "--rm", "--entrypoint", "readlink", image, "-f", "/opt/milepost/bin/python"
    ).stdout.strip()
    assert look_inside(image, BASE_PYTHON, *installers, python=base_python) == []


def test_nothing_but_the_base_can_change_its_user(role: Role) -> None:
    def climbers(image: str) -> str:
        find = ["--entrypoint", "find", image, "/", "-xdev", "-perm", "/6000", "-type", "f"]
        return docker("run", "--rm", "--user", "0", *find).stdout

    image = image_of(role)
    assert climbers(image) == climbers(inspected(image)["Config"]["Labels"]["org.opencontainers.image.base.name"])


def test_the_user_can_change_nothing_that_is_run(role: Role) -> None:
    arguments = [
        "--entrypoint",
        "find",
        image_of(role),
        "/opt",
        "/usr",
        "/etc",
        "-xdev",
        "-writable",
        "-not",
        "-type",
        "l",
    ]
    written = docker("run", "--rm", *arguments).stdout.split()
    assert written == ["/etc/milepost"]


def test_every_package_has_what_it_requires(role: Role) -> None:
    installed = look_inside(image_of(role), INSTALLED)
    packages = {canonicalize_name(name): about for name, about in installed.items()}
    extra = "model" if role.target.startswith("model") else role.target
    assert _unmet(packages, extra) == []


@pytest.mark.parametrize("target", ["operator", "tools", "gateway", "agent", "rag", "model"])
def test_every_module_of_a_role_can_be_imported(target: str) -> None:
    require_docker()
    common = ["milepost", "milepost_crds", *([] if target == "operator" else ["milepost_service"])]
    failed = look_inside(image_of(BY_TARGET[target]), IMPORT_ALL, *common, f"milepost_{target}")
    assert failed == {}


def test_the_kubernetes_client_is_whole() -> None:
    require_docker()
    code = """
import json, kubernetes.client, kubernetes.client.api as api, pkgutil
names = [m.name for m in pkgutil.iter_modules(api.__path__)]
print(json.dumps([len(names), kubernetes.client.CoreV1Api.__name__, kubernetes.client.V1Pod.__name__]))
"""
    count, api, model = look_inside(image_of(BY_TARGET["operator"]), code)
    assert (count > 50, api, model) == (True, "CoreV1Api", "V1Pod")


def _unmet(packages: dict[str, Any], extra: str) -> list[str]:
    """Requirements of Milepost with `extra`, and of all that it requires, that no installed package meets."""
    unmet, seen, waiting = [], set(), [("milepost", extra)]
    while waiting:
        name, wanted = waiting.pop()
        seen.add((name, wanted))
        for text in packages[name][1]:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": wanted, "python_version": "3.13"}):
                continue
            found = canonicalize_name(requirement.name)
            if found not in packages or not requirement.specifier.contains(packages[found][0], prereleases=True):
                unmet.append(f"{name}[{wanted}] requires {requirement}")
                continue
            waiting += [(found, each) for each in ["", *requirement.extras] if (found, each) not in seen]
    return unmet
