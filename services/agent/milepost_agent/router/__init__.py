"""The router: which ready services fit a text, how surely, and why. Knows nothing of graphs, RPC or clusters."""

from milepost_agent.router.model_file import default_model_file
from milepost_agent.router.recommendation import Candidate, Recommendation, ScoredService
from milepost_agent.router.router import Router
from milepost_agent.router.tags import LABELS, NONE, TAGS

__all__ = ["LABELS", "NONE", "TAGS", "Candidate", "Recommendation", "Router", "ScoredService", "default_model_file"]
