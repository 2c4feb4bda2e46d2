"""The build context and the scripts of the image build, without Docker: real pip, real archives."""

import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import lock
from console import ToolError
from image_context import Context, Target, digest_of
from image_layers import LAYERS, ROLES, Role
from images import Built, cause_of, table
from pip_runner import Pip

ROOT = Path(__file__).resolve().parent.parent
TARGET = Target("3.13.5", "x86_64", "2.41")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "made" / "context", TARGET, tmp_path, Pip(Path(sys.executable), tmp_path / "log"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "images"))
    return importlib.import_module(request.param)


def test_markers_are_those_of_the_base_and_not_of_this_python(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    path.write_text(
        "# a comment\n"
        "numpy==1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:aa \\\n    --hash=sha256:ab\n"
        "numpy==2.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:ba \\\n    --hash=sha256:bb\n"
        "colorama==3.0 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
    )
    assert context._wanted(path) == [(("numpy", "2.0"), ["sha256:ba", "sha256:bb"])]


def test_wheels_may_ask_for_an_older_c_library_but_for_no_newer_one_than_the_base_has() -> None:
    options = Target("3.13.5", "aarch64", "2.28").pip_options
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "cp313"} <= set(options)
    assert "manylinux_2_29_aarch64" not in options


def test_a_file_that_differs_from_its_hash_is_refused(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "index"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    target = tmp_path / "made" / "wheels"
    target.parent.mkdir()
    with pytest.raises(ToolError, match="a file differs from its hash"):
        context._download(f"thing==1.0 --hash=sha256:{'0' * 64}\n", target, lambda line: None)
    assert not target.exists()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.target)
def test_the_layers_of_a_role_hold_each_package_of_its_extra_once(context: Context, role: Role) -> None:
    layers = [layer for layer in LAYERS if layer.name in role.layers and layer.extras]
    pins = [pin for layer in layers for pin in context._pins(layer)]
    whole = context._pins_of(ROOT / "images" / "packages" / f"{layers[-1].name}.txt")
    assert sorted(pins) == sorted(set(whole))


def test_a_list_that_names_another_version_than_the_lock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    (tmp_path / "whole.lock").write_text("thing==1.0 \\\n    --hash=sha256:aa\n")
    (tmp_path / "list.txt").write_text("thing==2.0\n")
    assert lock.Lock("list.txt", (), within="whole.lock").behind() == [
        "list.txt: thing 2.0 is not in whole.lock; run `make lock`"
    ]


def test_every_command_of_the_project_but_the_cli_has_an_image() -> None:
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    targets = {role.image for role in ROLES} - {"milepost-model-smollm2"}
    assert targets == set(commands) - {"milepost"}


def test_an_image_over_its_limit_is_marked() -> None:
    operator = ROLES[0]
    made = [Built(operator, "milepost-operator:x", 300, beyond_mb, 1.0) for beyond_mb in (74, 76)]
    assert [image.within_limit for image in made] == [True, False]
    assert table(made).count("OVER") == 1


@pytest.mark.parametrize(
    "tail",
    [
        ["install_layer: libllama.so does not run", "The command '/bin/sh -c python3' returned a non-zero code: 1"],
        ["#14 2.103 install_layer: libllama.so does not run", "#14 ERROR: process", "ERROR: failed to solve: process"],
    ],
    ids=["classic builder", "BuildKit"],
)
def test_a_failed_build_is_told_by_the_line_that_says_why(tail: list[str]) -> None:
    assert cause_of(tail) == "install_layer: libllama.so does not run"
    assert cause_of(tail[1:]) == tail[-1]


def test_the_digest_follows_names_and_contents_only(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "below").mkdir(parents=True)
        (tmp_path / folder / "below" / "file").write_text("same")
    first = digest_of([tmp_path / "a"], tmp_path / "a")
    assert digest_of([tmp_path / "b"], tmp_path / "b") == first
    (tmp_path / "b" / "below" / "file").write_text("other")
    assert digest_of([tmp_path / "b"], tmp_path / "b") != first


@pytest.mark.parametrize("script", ["install_layer"], indirect=True)
def test_what_no_process_reads_is_left_out_and_copies_become_links(script: ModuleType, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.13" / "site-packages"
    kept = ["numpy/core.py", "numpy/testing/a.py", "tests.py", "x/lib/libx.so.1.2", "thing-1.0.dist-info/licenses/L"]
    left_out = ["numpy/core.pyi", "numpy/linalg/tests/t.py", "lib/libx.so", "include/x.h", "kubernetes/aio/a.py"]
    for name in [*kept, *left_out]:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("x")
    for name in ("libx.so", "libx.so.1"):
        (site / "x" / "lib" / name).write_text("x")
    for name in ("milepost-agent", "milepost", "kopf"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("x")
    script.leave_out(tmp_path, site)
    script.link_copies(tmp_path)
    assert [name for name in [*kept, *left_out] if (site / name).exists()] == kept
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["milepost-agent"]
    assert {name: (site / "x" / "lib" / name).readlink().name for name in ("libx.so", "libx.so.1")} == {
        "libx.so": "libx.so.1.2",
        "libx.so.1": "libx.so.1.2",
    }


@pytest.mark.parametrize("script", ["install_layer"], indirect=True)
def test_a_packed_package_is_imported_from_its_archive(script: ModuleType, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.13" / "site-packages"
    (site / "thing" / "inner").mkdir(parents=True)
    (site / "thing" / "__init__.py").write_text("")
    (site / "thing" / "inner" / "__init__.py").write_text("value = 42\n")
    script.pack(site, "thing")
    code = "import site, sys; site.addsitedir(sys.argv[1]); import thing.inner as i; print(i.value, i.__file__)"
    done = subprocess.run([sys.executable, "-c", code, str(site)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "42"
    assert "thing.zip" in done.stdout
    assert not (site / "thing").exists()


@pytest.mark.parametrize("script", ["install_layer"], indirect=True)
def test_a_library_that_does_not_run_on_the_base_ends_the_build_in_one_line(script: ModuleType, tmp_path: Path) -> None:
    library = tmp_path / "libllama.so"
    library.write_text("no library")
    with pytest.raises(SystemExit, match=r"^install_layer: libllama\.so, compiled by `make setup`, does not run"):
        script.require_loadable(library)


@pytest.mark.parametrize("script", ["split_roles"], indirect=True)
def test_each_role_gets_its_own_code_and_its_own_command(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "all" / "lib" / "python3.13" / "site-packages"
    packages = ["milepost", "milepost_crds", "milepost_service", "milepost_agent", "milepost_operator", "milepost_cli"]
    for name in [*packages, "milepost-0.1.0.dist-info"]:
        (site / name).mkdir(parents=True)
    (tmp_path / "all" / "bin").mkdir()
    for role in ("agent", "operator"):
        (tmp_path / "all" / "bin" / f"milepost-{role}").write_text(role)
    monkeypatch.setattr(sys, "argv", ["split_roles.py", str(tmp_path / "all"), str(tmp_path / "split")])
    script.main()
    found = {
        role: {path.name for path in (tmp_path / "split" / role / "lib/python3.13/site-packages").iterdir()}
        for role in ("agent", "operator")
    }
    common = {"milepost", "milepost_crds", "milepost-0.1.0.dist-info"}
    assert found == {
        "agent": common | {"milepost_service", "milepost_agent"},
        "operator": common | {"milepost_operator"},
    }
    assert [path.name for path in (tmp_path / "split" / "agent" / "bin").iterdir()] == ["milepost-agent"]
