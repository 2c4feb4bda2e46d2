"""The CRDs of the chart are the generated ones, and are kept unless asked otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gen_chart import COPIES, SOURCE, copy, drifted
from helm_chart import Chart, of_kind

pytestmark = pytest.mark.requirement("PKG-2")
KEEP = "helm.sh/resource-policy"


def test_the_chart_renders_the_generated_crds_and_nothing_else(chart: Chart) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(chart.render(), "CustomResourceDefinition")}
    generated = [yaml.safe_load(path.read_text()) for path in sorted(SOURCE.glob("*.yaml"))]
    assert len(generated) == 2
    assert {name: crd["spec"] for name, crd in rendered.items()} == {
        crd["metadata"]["name"]: crd["spec"] for crd in generated
    }
    assert {crd["apiVersion"] for crd in rendered.values()} == {"apiextensions.k8s.io/v1"}


def test_crds_are_kept_or_not_or_left_out(chart: Chart) -> None:
    def policies(crds: dict[str, bool]) -> list[str | None]:
        found = of_kind(chart.render({"crds": crds}), "CustomResourceDefinition")
        return [crd["metadata"].get("annotations", {}).get(KEEP) for crd in found]

    assert policies({}) == ["keep", "keep"]
    assert policies({"keep": False}) == [None, None]
    assert policies({"enabled": False}) == []


def test_the_copies_are_the_generated_files() -> None:
    assert drifted(SOURCE, COPIES) == []


def test_a_change_a_missing_file_and_a_stray_one_are_drift_until_copied(tmp_path: Path) -> None:
    source, copies = tmp_path / "crds", tmp_path / "copies"
    source.mkdir()
    (source / "a.yaml").write_text("a: 1\n")
    (source / "b.yaml").write_text("b: 1\n")
    copy(source, copies)
    assert drifted(source, copies) == []
    (source / "a.yaml").write_text("a: 2\n")
    (copies / "b.yaml").unlink()
    (copies / "stray.yaml").write_text("")
    assert drifted(source, copies) == ["a.yaml", "b.yaml", "stray.yaml"]
    copy(source, copies)
    assert drifted(source, copies) == []
    assert (copies / "a.yaml").read_text() == "a: 2\n"
