"""`make bench-model` without its servers: how rounds become ratios; and the table of sizes in docs/models.md."""

import re
from pathlib import Path

import pytest

from bench_model import MANY, ONE, ratios, report, text
from milepost_crds import MemoryEstimate, ModelSource
from milepost_operator.planning.known_models import known_size

PAGE = Path(__file__).parents[1] / "docs" / "models.md"


def figures(decode: float, many: float, first: float, cpu: float, prefix: float) -> dict[str, float]:
    return {
        "decode": decode,
        "throughput": many,
        "first": first,
        "prefix": prefix,
        "mib": 400,
        "cpu_ms_1": cpu,
        "cpu_ms_many": cpu / 2,
    }


@pytest.mark.requirement("SPD-4")
def test_a_ratio_is_made_within_a_round_and_more_is_better_but_for_the_first_token() -> None:
    # The second round has half of the first one's machine.
    found = {
        "ours": [figures(20, 60, 1, 30, 40), figures(10, 30, 2, 30, 60), figures(20, 60, 1, 30, 50)],
        "theirs": [figures(20, 50, 2, 33, 9), figures(10, 25, 4, 33, 9), figures(20, 50, 2, 33, 9)],
    }
    of = ratios(found, "ours", "theirs")
    assert {name: (each.low, each.share, each.high) for name, each in of.items()} == {
        "decode": (1, 1, 1),
        "throughput": (1.2, 1.2, 1.2),
        "first token": (0.5, 0.5, 0.5),
        "decode, CPU": pytest.approx((1.1, 1.1, 1.1)),
        "throughput, CPU": pytest.approx((1.1, 1.1, 1.1)),
        "prefix": (40, 50, 60),
    }
    lines = report(found, {"ours": of})
    assert "| ours | 20.0 tokens/s | 60.0 tokens/s | 1.00 s | 30.0 ms | 15.0 ms | 400 MiB |" in lines
    assert "| throughput | 1.20 (1.20 to 1.20) | >= 0.90 |" in lines


@pytest.mark.requirement("SPD-4")
def test_no_prompt_begins_like_another() -> None:
    prompts = [text(words, seed) for words in (ONE[0], MANY[0]) for seed in range(300)]
    begins = {tuple(prompt.split()[:16]) for prompt in prompts[:300]}
    assert len(begins) == 300
    assert {len(prompt.split()) for prompt in prompts} == {ONE[0], MANY[0]}


@pytest.mark.requirement("DOC-1")
def test_the_sizes_in_the_page_are_those_that_the_operator_goes_by() -> None:
    rows = re.findall(
        r"^\| ([\w.-]+) \| (Q\w+) \| (\d+) MiB \| ([\d.]+) KiB \| (\w+) \| (\w+) \|$", PAGE.read_text(), re.M
    )
    assert len(rows) >= 6
    for name, kind, weights, per_token, one, four in rows:
        source = {"huggingFace": {"repo": f"someone/{name}", "file": f"m.{kind}.gguf"}}
        size = known_size(ModelSource.model_validate(source))
        assert size is not None, name
        assert (round(size.weights_bytes / 2**20), size.kv_bytes_per_token / 1024) == (int(weights), float(per_token))
        limits = [
            MemoryEstimate(size.weights_bytes, size.kv_bytes_per_token * 4096 * n).smallest_limit() for n in (1, 4)
        ]
        assert limits == [one, four]
