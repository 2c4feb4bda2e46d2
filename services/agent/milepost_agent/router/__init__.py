"""The router: which ready services fit a text, how surely, and why. Knows nothing of graphs, RPC or clusters."""

import os
from typing import TYPE_CHECKING, Any

from milepost_agent.router.background import BackgroundRouter
from milepost_agent.router.language_model_settings import LanguageModelSettings
from milepost_agent.router.model_file import default_model_file
from milepost_agent.router.recommendation import Candidate, Recommendation, Recommender, ScoredService
from milepost_agent.router.tags import LABELS, NONE, TAGS

if TYPE_CHECKING:
    from milepost_agent.router.router import Router

# Read when numpy is imported: threads of its own would wait for one another wherever a neighbour keeps a core busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__all__ = [
    "LABELS",
    "NONE",
    "TAGS",
    "BackgroundRouter",
    "Candidate",
    "LanguageModelSettings",
    "Recommendation",
    "Recommender",
    "Router",
    "ScoredService",
    "default_model_file",
]


def __getattr__(name: str) -> Any:
    """Imports the router itself, and numpy with it, where it is named for the first time."""
    if name != "Router":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from milepost_agent.router.router import Router  # noqa: PLC0415

    return Router
