"""What the arbitrator has before it."""

from dataclasses import dataclass

from milepost_agent.router import Recommendation
from milepost_agent.state import RunState
from milepost_crds import AgentWorkflowSpec, Step


@dataclass(frozen=True)
class Case:
    """This step, in this state of the run, on this recommendation."""

    spec: AgentWorkflowSpec
    state: RunState
    step: Step
    recommendation: Recommendation

    @property
    def confidences(self) -> dict[str, float]:
        """Of the recommended services, best first."""
        return {each.service: each.confidence for each in self.recommendation.services}

    @property
    def recommended(self) -> str:
        """The service that the router recommends first; empty when it recommends none."""
        return next(iter(self.confidences), "")

    @property
    def confidence(self) -> float:
        """In the service that is recommended first; 0 when none is."""
        return self.confidences.get(self.recommended, 0.0)

    @property
    def is_doubtful(self) -> bool:
        return self.confidence < self.spec.router.confidence_threshold

    @property
    def hops_needed(self) -> int:
        """Hops from this step to the end of the workflow when every review approves."""
        names = [each.name for each in self.spec.steps]
        return len(names) - names.index(self.step.name)

    @property
    def hops_missing(self) -> int:
        """How many of those are not left."""
        return max(0, self.hops_needed - self.state["remaining_hops"])
