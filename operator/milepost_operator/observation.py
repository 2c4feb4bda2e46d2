"""What planning looks at and what it decides, as plain data: the border between I/O and pure code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from milepost_crds import AgentWorkflow, ModelService

Object = Mapping[str, Any]
"""A Kubernetes object as the API server sends it, without managedFields."""


@dataclass(frozen=True, order=True)
class ObjectKey:
    """Which object of a namespace: its API version, kind and name."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True)
class References:
    """What a resource names in its own namespace. `capabilities` are tags that any ready service may offer."""

    services: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()
    secrets: frozenset[tuple[str, str]] = frozenset()
    """Name and key."""
    claims: frozenset[str] = frozenset()
    storage_class: str | None = None
    any_service: bool = False
    """Whether any ModelService of the namespace may be chosen, whatever it offers."""


@dataclass(frozen=True)
class Refusal:
    """What the API server said to one of our requests. `verb` is apply, delete, status or get; `code` its HTTP status.

    An apply that takes no field away from other managers and therefore fails (409) means that the name is taken.
    """

    verb: str
    key: ObjectKey
    code: int
    reason: str
    message: str


@dataclass(frozen=True)
class Description:
    """What a serving process said of itself; see milepost.model.v1.DescribeModelResponse."""

    digest: str
    context_tokens: int
    sequences: int
    threads: int
    weights_bytes: int = 0
    kv_bytes_per_token: int = 0


@dataclass(frozen=True)
class Observed:
    """All that one resource depends on, as last seen. Nothing in it is looked up again while planning."""

    children: Mapping[ObjectKey, Object] = field(default_factory=dict)
    """Objects whose controller is the resource."""
    pods: Sequence[Object] = ()
    """Pods of the resource, oldest first."""
    claims: Sequence[Object] = ()
    """PersistentVolumeClaims made for the resource's pods; they have no owner."""
    events: Sequence[Object] = ()
    """Warnings about children, pods and claims, newest last; only read when something is not ready."""
    services: Mapping[str, Object] = field(default_factory=dict)
    """Every ModelService of the namespace by name, with its status."""
    namesake: Object | None = None
    """The resource of the other kind that has the same name, whose children would have the same names too."""
    config_maps: frozenset[str] = frozenset()
    """Those of the references that exist."""
    secrets: frozenset[tuple[str, str]] = frozenset()
    named_claims: Mapping[str, Object] = field(default_factory=dict)
    storage_class_exists: bool = True
    description: Description | None = None
    unwritable: Mapping[str, str] = field(default_factory=dict)
    """Why agents that are not ready cannot write, as they say it, by pod."""
    starting: Mapping[str, str] = field(default_factory=dict)
    """What services that are not ready are busy with, as they say it, by pod."""
    refusals: Sequence[Refusal] = ()
    """What was refused when the plan was carried out; empty in a first pass."""
    contested: Sequence[ObjectKey] = ()
    """Children that someone else keeps changing back."""


@dataclass(frozen=True)
class Images:
    """Image of each role."""

    agent: str
    model: str
    rag: str
    tools: str


@dataclass(frozen=True)
class Defaults:
    """What the installation decides for all resources."""

    images: Images
    image_pull_policy: str = "IfNotPresent"
    access_mode: str = "ReadWriteOncePod"
    otlp_endpoint: str | None = None
    hugging_face_endpoint: str | None = None
    """URL of the hub to ask; None: the public one."""


@dataclass(frozen=True)
class PlannedEvent:
    """A Kubernetes event about the resource. `kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do about one resource, in this order: apply, prune, status, events."""

    apply: Sequence[Object]
    prune: Sequence[ObjectKey]
    status: Mapping[str, Any]
    """The whole status subresource."""
    events: Sequence[PlannedEvent] = ()
    requeue_after: float | None = None
    """Seconds until it must be looked at again though nothing changed; None: only on change."""


Resource = AgentWorkflow | ModelService
