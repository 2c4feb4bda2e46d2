"""From custom resources to workloads; what is here is pure planning."""

from milepost_operator.errors import OperatorError, PlanError
from milepost_operator.supported import unsupported_locally
from milepost_operator.workload import Workload, plan_workloads

__all__ = ["OperatorError", "PlanError", "Workload", "plan_workloads", "unsupported_locally"]
