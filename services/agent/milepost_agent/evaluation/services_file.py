"""Reads the services to route over: ModelService manifests, a list of services, or what `milepost get` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from milepost_agent.evaluation.errors import EvaluationError
from milepost_agent.router import TAGS, Candidate
from milepost_crds import ManifestError, ModelService, load_manifests
from milepost_crds.documents import read_documents
from milepost_crds.fields import Description, ResourceName, Tag, UniqueItems
from milepost_crds.modelservice import Example
from milepost_crds.problems import describe_problems
from milepost_crds.rules import Model

MOST_NAMES = 3


class ListedService(Model):
    """A service in a list; the fields mean what they mean in a ModelService."""

    name: ResourceName = Field(description="Name of the service.")
    capabilities: Annotated[list[Tag], Field(min_length=1, max_length=16), UniqueItems()] = Field(
        description="Capability tags."
    )
    description: Description = Field(default="", description="What the service is good at.")
    examples: Annotated[list[Example], Field(max_length=64)] = Field(
        default_factory=list, description="Requests that belong here."
    )
    ready: bool = Field(default=True, description="Whether it may be recommended.")


@dataclass(frozen=True)
class Services:
    """The ready services of a file, and what has to be known about it, one line each."""

    ready: tuple[Candidate, ...]
    notes: tuple[str, ...]


def read_services(path: Path) -> Services:
    """The services of a YAML or JSON file, or of a folder of manifests.

    A ModelService is ready unless its status says otherwise or it has no replicas. What is not ready is left out.

    Raises:
        EvaluationError: the file cannot be used.
    """
    try:
        listed = list(_read(path))
    except ManifestError as error:
        raise EvaluationError(str(error)) from None
    for name, times in Counter(service.name for service in listed).items():
        if times > 1:
            raise EvaluationError(f"{path}: the name {name} is there {times} times; allowed: a name for each service")
    ready = tuple(
        Candidate(service.name, tuple(service.capabilities), service.description, tuple(service.examples))
        for service in listed
        if service.ready
    )
    return Services(ready, tuple(_notes(listed, ready)))


def _read(path: Path) -> Iterator[ListedService]:
    documents = [] if path.is_dir() else read_documents(path)
    if not any(_is_list(document) for document in documents):
        resources = [manifest.resource for manifest in load_manifests([path])]
        yield from (_of_manifest(resource) for resource in resources if isinstance(resource, ModelService))
        return
    if len(documents) > 1:
        raise ManifestError([f"{path}: has a list among several documents; allowed: one list, or manifests"])
    rows = documents[0]
    if isinstance(rows, dict):
        rows = [_as_listed(row) for row in rows["services"]]
    for number, row in enumerate(rows):
        yield _of_row(f"{path}: [{number}]", row)


def _is_list(document: Any) -> bool:
    return isinstance(document, list) or (
        isinstance(document, dict) and "kind" not in document and isinstance(document.get("services"), list)
    )


def _as_listed(row: Any) -> Any:
    """What `milepost get services --json` says of a service, without what was observed of it."""
    if not isinstance(row, dict):
        return row
    said = {name: row[name] for name in ListedService.model_fields if name in row}
    return {**said, "ready": row.get("state", "ready") == "ready"}


def _of_row(where: str, row: Any) -> ListedService:
    if not isinstance(row, dict):
        raise ManifestError([f"{where}: is not a mapping; allowed: a mapping with name and capabilities"])
    try:
        return ListedService.model_validate(row)
    except ValidationError as error:
        raise ManifestError([f"{where}.{problem}" for problem in describe_problems(error, ListedService)]) from None


def _of_manifest(service: ModelService) -> ListedService:
    conditions = service.status.conditions if service.status else []
    denied = any(condition.type == "Ready" and condition.status != "True" for condition in conditions)
    return ListedService(
        name=service.name,
        capabilities=service.spec.capabilities,
        description=service.spec.description,
        examples=service.spec.examples,
        ready=service.spec.replicas > 0 and not denied,
    )


def _notes(listed: Sequence[ListedService], ready: Sequence[Candidate]) -> Iterator[str]:
    if not ready:
        there = _some([service.name for service in listed]) if listed else "there is none"
        yield f"no service is ready ({there}): every answer is none"
    elif len(ready) < len(listed):
        yield f"not ready and left out: {_some([service.name for service in listed if not service.ready])}"
    carriers: dict[str, list[str]] = {}
    for candidate in ready:
        for tag in candidate.capabilities:
            carriers.setdefault(tag, []).append(candidate.name)
    for tag, names in carriers.items():
        if tag not in TAGS:
            yield (
                f"capability {tag} ({_some(names)}) is not one that the router has learned ({', '.join(TAGS)}): "
                "what its services say of themselves decides, and without it the answer is none"
            )


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
