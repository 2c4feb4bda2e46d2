"""What an evaluation reads: labelled queries and services, and what it says of files that it cannot use."""

import json
from pathlib import Path

import pytest

from milepost_agent.evaluation.command import main
from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.evaluation.queries import one_service_a_tag, read_queries
from milepost_agent.evaluation.services_file import read_services
from milepost_agent.router import LABELS, Candidate

pytestmark = pytest.mark.requirement("RTR-4")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GOOD = '{"query": "Refactor this", "label": "coding"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ": holds no queries"),
        (b"\n \n", ": holds no queries"),
        (GOOD.encode() + b'{"query": "x", "label": "music"}\n', ':2: label "music"; allowed: coding, review, rag, '),
        (b'{"query": "x"}\n', ":1: label is missing; allowed: coding"),
        (b'{"query": "x", "label": ["coding"]}\n', ':1: label ["coding"]; allowed: coding'),
        (b'{"query": 5, "label": "coding"}\n', ":1: has no text as query"),
        (b"[]\n", ":1: has no text as query"),
        (b"\n{broken\n", ":2: is not JSON (Expecting property name enclosed in double quotes at column 2)"),
        (b"[" * 200_000, ":1: has too long a number or is nested too deeply"),
        (b'{"query": ' + b"9" * 5000 + b"}", ":1: has too long a number or is nested too deeply"),
        (bytes(range(128, 256)) * 10, ":1: is not UTF-8 text (byte 0)"),
        (b'{"query": "' + b"x" * (4 << 20) + b'", "label": "rag"}', ":1: is too long; allowed: at most 4 MiB a line"),
    ],
    ids=[
        "empty",
        "blank",
        "label",
        "no label",
        "list",
        "number",
        "no object",
        "broken",
        "deep",
        "digits",
        "binary",
        "huge",
    ],
)
def test_unusable_data_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    assert main(["--data", str(path)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"milepost: {path}{said}")
    assert "; allowed: " in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert len(told.err) < 500


def test_a_file_that_is_not_there_or_a_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, why in ((tmp_path / "missing", "No such file or directory"), (tmp_path, "Is a directory")):
        assert main(["--data", str(path)]) == 2
        assert capsys.readouterr().err == f"milepost: {path}: cannot be read ({why}); allowed: a file of JSON lines\n"


def test_a_byte_order_mark_windows_line_ends_and_a_megabyte_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    long = json.dumps({"query": "x" * 1_000_000, "label": "none"})
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.strip().encode() + b"\r\n\r\n" + long.encode())
    queries = read_queries(path, one_service_a_tag())
    assert [(len(each.query), each.label) for each in queries.examples] == [(13, "coding"), (1_000_000, "none")]
    assert queries.labels == LABELS


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_manifests_are_read_as_local_mode_reads_them() -> None:
    services = read_services(EXAMPLES / "review-loop")
    assert [(each.name, each.capabilities) for each in services.ready] == [
        ("smollm2", ("coding", "review", "general")),
        ("docs", ("rag",)),
        ("toolbox", ("tools",)),
    ]
    assert services.ready[1].description.startswith("Looks up the team's rules")
    assert services.ready[1].examples[1] == "Look up the rules for tests in the documents."
    assert services.notes == ()
    assert read_services(EXAMPLES / "review-loop" / "models.yaml") == services


def test_lists_are_read_as_yaml_and_as_json(tmp_path: Path) -> None:
    rows = [{"name": "docs", "capabilities": ["rag"], "description": "Looks up", "examples": ["Find it"]}]
    wanted = (Candidate("docs", ("rag",), "Looks up", ("Find it",)),)
    by_json = written(tmp_path / "a.json", json.dumps(rows, indent=1))
    by_yaml = written(
        tmp_path / "a.yaml", "- {name: docs, capabilities: [rag], description: Looks up, examples: [Find it]}"
    )
    assert read_services(by_json).ready == read_services(by_yaml).ready == wanted


def test_what_get_services_writes_is_read(tmp_path: Path) -> None:
    observed = {"target": "127.0.0.1:1", "restarts": 0, "usage": {}, "ready": {"reason": "Serving"}}
    rows = [
        {"name": "a", "capabilities": ["rag"], "state": "ready", **observed},
        {"name": "b", "capabilities": ["rag"], "state": "unhealthy", **observed},
    ]
    services = read_services(written(tmp_path / "a.json", json.dumps({"services": rows})))
    assert [each.name for each in services.ready] == ["a"]
    assert services.notes == ("not ready and left out: b",)


def condition(status: str) -> str:
    told = f"type: Ready, status: '{status}', reason: Serving, message: x, lastTransitionTime: '2026-01-01T00:00:00Z'"
    return f"status:\n  conditions: [{{{told}}}]\n"


@pytest.mark.parametrize(
    ("change", "ready"),
    [("", True), ("  replicas: 0\n", False), (condition("False"), False), (condition("True"), True)],
    ids=["as written", "no replicas", "not ready", "ready"],
)
def test_a_manifest_is_ready_unless_it_says_otherwise(tmp_path: Path, change: str, ready: bool) -> None:
    manifest = (EXAMPLES / "linear" / "models.yaml").read_text().split("---\n")[1]
    assert bool(read_services(written(tmp_path / "a.yaml", manifest + change)).ready) is ready


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("[{name: a}]", "[0].capabilities: is missing"),
        ("[{name: a, capabilities: [Not A Tag]}]", "[0].capabilities[0]: "),
        ("[{name: a, capabilities: [rag], exmples: [x]}]", "[0].exmples: is not a known field; allowed: examples"),
        ("[{name: a, capabilities: [rag]}, 5]", "[1]: is not a mapping"),
        ("[{name: a, capabilities: [rag]}, {name: a, capabilities: [rag]}]", "the name a is there 2 times"),
        ("[]\n---\n[]", "has a list among several documents"),
        ("services: [5]", "[0]: is not a mapping"),
        ("kind: Pod", "kind: "),
        ("{", "is not YAML"),
        ("a: &a [*a]", "allowed: "),
    ],
)
def test_unusable_services_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    path, data = written(tmp_path / "a.yaml", content), written(tmp_path / "data.jsonl", GOOD)
    assert main(["--data", str(data), "--services", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"milepost: {path}")
    assert said in error
    assert "allowed: " in error
    assert error.count("\n") == 1


def test_services_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"missing\.yaml: does not exist"):
        read_services(tmp_path / "missing.yaml")


def test_tags_of_services_are_labels(tmp_path: Path) -> None:
    medic = Candidate("medic", ("medical-advice",), "Answers medical questions")
    path = written(tmp_path / "data.jsonl", '{"query": "Is it flu?", "label": "medical-advice"}\n')
    assert read_queries(path, [medic]).labels == ("medical-advice", "none")
    with pytest.raises(EvaluationError, match='label "medical-advice"; allowed: coding'):
        read_queries(path, one_service_a_tag())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "--data"), (["--data", "x", "--colour"], "unrecognized arguments: --colour")],
)
def test_wrong_options_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.endswith("see `milepost router eval --help`\n")
    assert error.count("\n") == 1
