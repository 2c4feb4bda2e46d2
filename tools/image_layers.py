"""What the images are made of: layers of packages that lie on one another, and the roles that end on them."""

from __future__ import annotations

from dataclasses import dataclass

SLIM_BASE_MB = 125
"""Size of the usual python:3.13-slim (x86-64, unpacked), which limits are counted with whatever base is used."""


@dataclass(frozen=True)
class Layer:
    """The packages of `extras`, less those of the layers `below`. Without extras: not from requirements.lock."""

    name: str
    extras: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Role:
    """One image: a target of images/Dockerfile."""

    target: str
    layers: tuple[str, ...]
    embeds: bool = False
    """Carries the embedding model of the router and the document index."""
    limit_mb: int | None = None
    """What it may weigh on a base of SLIM_BASE_MB."""

    @property
    def image(self) -> str:
        return f"milepost-{self.target}"


LAYERS = (
    Layer("service", ("service",)),
    Layer("llama", ("service", "llama"), ("service",)),
    Layer("operator", ("operator",)),
    Layer("tools", ("tools",), ("service",)),
    Layer("gateway", ("gateway",), ("service",)),
    Layer("agent", ("agent",), ("service", "llama")),
    Layer("model", ("model",), ("service", "llama")),
    Layer("rag", ("rag",), ("service", "llama")),
    Layer("smollm2"),
    Layer("milepost"),
)
ROLES = (
    Role("operator", ("operator", "milepost"), limit_mb=200),
    Role("tools", ("service", "tools", "milepost")),
    Role("gateway", ("service", "gateway", "milepost"), limit_mb=200),
    Role("agent", ("service", "llama", "agent", "milepost"), embeds=True),
    Role("rag", ("service", "llama", "rag", "milepost"), embeds=True),
    Role("model", ("service", "llama", "model", "milepost"), limit_mb=350),
    Role("model-smollm2", ("service", "llama", "model", "smollm2", "milepost")),
)
