"""The nodes of every workflow graph: recommend informs, arbitrate decides, a step does, finish ends."""

from milepost_agent.nodes.arbitrate import Arbitrate
from milepost_agent.nodes.dependencies import NodeDependencies
from milepost_agent.nodes.finish import Finish
from milepost_agent.nodes.recommend import Recommend
from milepost_agent.nodes.step import StepNode

__all__ = ["Arbitrate", "Finish", "NodeDependencies", "Recommend", "StepNode"]
