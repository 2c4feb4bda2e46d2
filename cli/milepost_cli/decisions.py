"""What the router recommends and what the arbitrator decides, in the same words wherever the two are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from milepost_cli.text import milliseconds

REASON_LIMIT = 300
"""Characters of a reason that are shown."""

NEITHER = {"skip": "step skipped", "finish": "finished early", "ask": "asked the user"}
"""Decisions that neither agree with a recommendation nor overrule it, by their action."""


def recommendation_text(services: Sequence[Mapping[str, Any]], none_probability: float) -> str:
    """ "docs 0.83 (rag), smollm2 0.11 (general); none 0.06"."""
    scored = ", ".join(
        f"{service.get('service', '')} {float(service.get('confidence', 0)):.2f}"
        + (f" ({service['capability']})" if service.get("capability") else "")
        for service in services
    )
    return f"{scored or 'no service'}; none {none_probability:.2f}"


def path_text(path: str, duration_ms: float) -> str:
    """ "[embedding, 12 ms]"."""
    return f"[{', '.join(part for part in (path, milliseconds(duration_ms)) if part)}]"


def decision_text(action: str, service: str, agreed: bool, choices: Sequence[Mapping[str, Any]] = ()) -> str:
    """ "docs 0.71  overruled", or "step skipped 0.88"; `choices` come best first, none where nothing was weighed."""
    share = f" {float(choices[0].get('probability', 0)):.2f}" if choices else ""
    if action == "invoke":
        return f"{service}{share}  {'agreed' if agreed else 'overruled'}"
    return f"{NEITHER.get(action, action)}{share}"


def decision_style(action: str, agreed: bool) -> str:
    """A style of rich."""
    if action == "invoke":
        return "green" if agreed else "bold magenta"
    return "yellow" if action == "ask" else "blue"
