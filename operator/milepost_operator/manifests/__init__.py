"""Builders of every object that a resource becomes: pure, one kind a file, equal input, equal output.

They name only the fields that Milepost has an opinion on, because the API server gives us what we name.
"""

from milepost_operator.manifests.comparison import digest, in_sync
from milepost_operator.manifests.config_map import config_map
from milepost_operator.manifests.deployment import deployment
from milepost_operator.manifests.kinds import CHILD_KINDS, ChildKind
from milepost_operator.manifests.metadata import Owner
from milepost_operator.manifests.pod_disruption_budget import pod_disruption_budget
from milepost_operator.manifests.pod_template import Container, pod_template
from milepost_operator.manifests.role import role
from milepost_operator.manifests.role_binding import role_binding
from milepost_operator.manifests.service import headless_service, service
from milepost_operator.manifests.service_account import service_account
from milepost_operator.manifests.stateful_set import stateful_set
from milepost_operator.manifests.volume_claim import ClaimTemplate, claim_expansion, volume_claim

__all__ = [
    "CHILD_KINDS",
    "ChildKind",
    "ClaimTemplate",
    "Container",
    "Owner",
    "claim_expansion",
    "config_map",
    "deployment",
    "digest",
    "headless_service",
    "in_sync",
    "pod_disruption_budget",
    "pod_template",
    "role",
    "role_binding",
    "service",
    "service_account",
    "stateful_set",
    "volume_claim",
]
