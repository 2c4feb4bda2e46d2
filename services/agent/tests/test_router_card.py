"""docs/router-model-card.md says of the heads and their data what is there; other tests hold what was measured."""

import re
from pathlib import Path

import pytest

from milepost_agent.router.examples import DATA_DIR, read_examples, training_voices
from milepost_agent.router.excerpt import END_CHARACTERS, WHOLE_CHARACTERS
from milepost_agent.router.heads import Heads
from milepost_agent.router.neighbours import NEIGHBOURS
from milepost_agent.router.ngrams import BUCKETS

CARD = (Path(__file__).parents[3] / "docs" / "router-model-card.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.requirement("RTR-4")


def test_voices_and_their_sizes() -> None:
    told = {name: int(count) for name, count in re.findall(r"^\| (\w+) \| (\d+) \|", CARD, re.MULTILINE)}
    assert told == {voice: len(examples) for voice, examples in training_voices().items()}
    assert f"{sum(told.values()):,} are in `data/training/`" in CARD


@pytest.mark.parametrize("name", ["tuning", "test"])
def test_sizes_of_the_other_sets(name: str) -> None:
    assert f"`{name}.jsonl` ({len(read_examples(DATA_DIR / f'{name}.jsonl'))} queries" in CARD


def test_numbers_of_the_heads() -> None:
    heads = Heads.load()
    mixture = heads.mixture
    assert (
        f"The mixture ({mixture.meaning:.2f} of the meaning), the weight of nearness ({mixture.neighbours:.0f})" in CARD
    )
    assert f"the temperature ({mixture.temperature:.2f})" in CARD
    assert f"the {NEIGHBOURS} nearest examples" in CARD
    assert f"the {END_CHARACTERS:,} characters" in CARD
    assert f"{BUCKETS:,} buckets" in CARD
    assert f"{heads.width} numbers" in CARD
    assert f"more than {WHOLE_CHARACTERS} characters" in CARD
