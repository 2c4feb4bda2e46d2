"""Labelled queries, and which label is right over the services that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.router import LABELS, NONE, TAGS, Candidate
from milepost_agent.router.examples import Example, read_examples
from milepost_agent.router.tags import TAG_DESCRIPTIONS


@dataclass(frozen=True)
class LabelledQueries:
    """N queries to be routed over `services`.

    `labels` are the L answers that can be right: the tags that services carry, then "none". `targets` are N indices
    into it. A query whose label no service carries is out of scope: "none" is right.
    """

    examples: tuple[Example, ...]
    services: tuple[Candidate, ...]
    labels: tuple[str, ...]
    targets: tuple[int, ...]

    @classmethod
    def over(cls, services: Sequence[Candidate], examples: Sequence[Example]) -> LabelledQueries:
        labels = (*carried_tags(services), NONE)
        targets = tuple(labels.index(each.label) if each.label in labels else len(labels) - 1 for each in examples)
        return cls(tuple(examples), tuple(services), labels, targets)

    @property
    def out_of_scope(self) -> int:
        """Index of "none" in `labels`."""
        return len(self.labels) - 1

    @property
    def unserved(self) -> int:
        """Queries that are out of scope only because no service carries their label."""
        return sum(each.label not in self.labels for each in self.examples)


def carried_tags(services: Sequence[Candidate]) -> tuple[str, ...]:
    """The tags of these services: those that the router has learned first, in its order, then the others by name."""
    carried = {tag for service in services for tag in service.capabilities} - {NONE}
    return (*(tag for tag in TAGS if tag in carried), *sorted(carried.difference(TAGS)))


def one_service_a_tag() -> tuple[Candidate, ...]:
    """What is routed over when nobody names services: one for each tag, described as the tag is."""
    return tuple(Candidate(f"{tag}-service", (tag,), description) for tag, description in TAG_DESCRIPTIONS.items())


def read_queries(path: Path, services: Sequence[Candidate]) -> LabelledQueries:
    """The queries of a file; their labels are those of the router and the tags of the services.

    Raises:
        EvaluationError: the file cannot be read, has a line that is no example, or has none at all.
    """
    own = [tag for tag in carried_tags(services) if tag not in LABELS]
    try:
        examples = read_examples(path, (*LABELS, *own))
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}); allowed: a file of JSON lines") from None
    except ValueError as error:
        raise EvaluationError(str(error)) from None
    if not examples:
        raise EvaluationError(f"{path}: holds no queries; allowed: one or more lines")
    return LabelledQueries.over(services, examples)
