"""From what is asked and what was seen to what is applied and said. No I/O, no clock, no randomness."""

from milepost_operator.planning.model_files import downloads
from milepost_operator.planning.plan import invalid_status, plan, references_of
from milepost_operator.planning.supported import unsupported_locally
from milepost_operator.planning.workload import Workload, answers_http, model_claim_of, plan_workloads, source_of

__all__ = [
    "Workload",
    "answers_http",
    "downloads",
    "invalid_status",
    "model_claim_of",
    "plan",
    "plan_workloads",
    "references_of",
    "source_of",
    "unsupported_locally",
]
