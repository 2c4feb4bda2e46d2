"""Where and with what the pods of a resource run: the fields of a pod template that users set, all bounded."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from milepost_crds.fields import Quantity, UniqueItems
from milepost_crds.metadata import ObjectRef
from milepost_crds.rules import Model, Rule
from milepost_crds.units import parse_quantity

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Weight = Annotated[int, Field(ge=1, le=100)]
NamespaceName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


def _fits(request: str | None, limit: str | None) -> bool:
    return request is None or limit is None or parse_quantity(request) <= parse_quantity(limit)


def _request_within_limit(alias: str, attribute: str) -> Rule:
    cel_name = alias.replace("-", "__dash__")
    request, limit = f"self.requests.{cel_name}", f"self.limits.{cel_name}"
    return Rule(
        message=f"{alias} is more than limits.{alias}; allowed: at most the limit",
        cel=f"!has(self.requests) || !has(self.limits) || !has({request}) || !has({limit}) || "
        f"quantity(string({request})).compareTo(quantity(string({limit}))) <= 0",
        holds=lambda model: _fits(getattr(model.requests, attribute), getattr(model.limits, attribute)),
        field="requests",
    )


class ResourceList(Model):
    """Amounts of compute."""

    cpu: Quantity | None = Field(default=None, description="CPU in cores, for example 2 or 500m.")
    memory: Quantity | None = Field(default=None, description="Memory in bytes, for example 1Gi.")
    ephemeral_storage: Quantity | None = Field(
        default=None, alias="ephemeral-storage", description="Scratch disk in bytes, for example 2Gi."
    )


class ResourceRequirements(Model):
    """Compute that a pod asks for and may use at most."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _request_within_limit("cpu", "cpu"),
        _request_within_limit("memory", "memory"),
        _request_within_limit("ephemeral-storage", "ephemeral_storage"),
    )

    requests: ResourceList = Field(default_factory=ResourceList, description="What the scheduler sets aside.")
    limits: ResourceList = Field(
        default_factory=ResourceList, description="The most that is used. Model threads follow the CPU limit."
    )


class Toleration(Model):
    """A taint that the pods tolerate."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="has a value beside operator Exists; allowed: a value only with operator Equal",
            cel="self.operator != 'Exists' || !has(self.value) || self.value == ''",
            holds=lambda toleration: toleration.operator != "Exists" or not toleration.value,
            field="value",
        ),
        Rule(
            message="is missing, which matches every key; allowed: no key only with operator Exists",
            cel="(has(self.key) && self.key != '') || self.operator == 'Exists'",
            holds=lambda toleration: bool(toleration.key) or toleration.operator == "Exists",
            field="key",
        ),
    )

    key: Annotated[str, StringConstraints(max_length=317)] | None = Field(default=None, description="Key of the taint.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How `value` is compared.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; left out, every effect."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = Field(
        default=None, description="Seconds that a NoExecute taint is tolerated; left out, for ever."
    )


class Requirement(Model):
    """One requirement on a label or field."""

    key: LabelKey = Field(description="Key of the label or field.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(description="How values compare.")
    values: Annotated[list[LabelValue], Field(max_length=32)] = Field(
        default_factory=list, description="Values to compare with."
    )


class LabelRequirement(Model):
    """One requirement on a pod or namespace label."""

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How values compare.")
    values: Annotated[list[LabelValue], Field(max_length=32)] = Field(
        default_factory=list, description="Values to compare with."
    )


class LabelSelector(Model):
    """Selects objects by label; all parts must hold."""

    match_labels: Labels = Field(default_factory=dict, description="Labels with these exact values.")
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=16)] = Field(
        default_factory=list, description="Further requirements."
    )


class NodeSelectorTerm(Model):
    """A set of nodes; all requirements must hold."""

    match_expressions: Annotated[list[Requirement], Field(max_length=16)] = Field(
        default_factory=list, description="Requirements on node labels."
    )
    match_fields: Annotated[list[Requirement], Field(max_length=16)] = Field(
        default_factory=list, description="Requirements on node fields."
    )


class NodeSelector(Model):
    """Nodes of which one term must match."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=16)] = Field(
        description="Terms of which one must match."
    )


class PreferredNodes(Model):
    """Nodes that are preferred with a weight."""

    weight: Weight = Field(description="Weight from 1 to 100.")
    preference: NodeSelectorTerm = Field(description="The preferred nodes.")


class NodeAffinity(Model):
    """Attraction to nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="Nodes on which the pods must be placed."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredNodes], Field(max_length=16)] = Field(
        default_factory=list, description="Nodes on which the pods are better placed."
    )


class PodAffinityTerm(Model):
    """A set of pods and the domain in which they count as near."""

    topology_key: LabelKey = Field(description="Node label whose equal values mean the same place.")
    label_selector: LabelSelector | None = Field(default=None, description="The pods.")
    namespaces: Annotated[list[NamespaceName], Field(max_length=16)] = Field(
        default_factory=list, description="Namespaces of the pods; left out, the one of the resource."
    )
    namespace_selector: LabelSelector | None = Field(default=None, description="Namespaces of the pods, by label.")


class PreferredPods(Model):
    """Pods whose nearness is preferred with a weight."""

    weight: Weight = Field(description="Weight from 1 to 100.")
    pod_affinity_term: PodAffinityTerm = Field(description="The pods.")


class PodAffinity(Model):
    """Attraction to pods, or repulsion from them."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], Field(max_length=16)] = Field(
        default_factory=list, description="Terms that must hold."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPods], Field(max_length=16)] = Field(
        default_factory=list, description="Terms that are better held."
    )


class Affinity(Model):
    """What the pods are drawn to."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Nodes they are drawn to.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Pods they are drawn to.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Pods they keep away from.")


class TopologySpreadConstraint(Model):
    """How evenly the pods are spread over places."""

    max_skew: Annotated[int, Field(ge=1, le=64)] = Field(description="Largest difference between two places.")
    topology_key: LabelKey = Field(description="Node label whose equal values mean the same place.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(description="What if it cannot be met.")
    min_domains: Annotated[int, Field(ge=1, le=64)] | None = Field(default=None, description="Least number of places.")
    label_selector: LabelSelector | None = Field(
        default=None, description="The pods that count; left out, those of the resource."
    )


class Scheduling(Model):
    """Fields that both kinds pass on to their pods."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="has a key that is too long; allowed: keys of at most 317 characters",
            cel="!has(self.nodeSelector) || self.nodeSelector.all(key, size(key) <= 317)",
            holds=lambda spec: True,  # the type LabelKey has refused others
            field="nodeSelector",
        ),
    )

    resources: ResourceRequirements = Field(default_factory=ResourceRequirements, description="Compute for each pod.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that the node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = Field(
        default_factory=list, description="Taints that the pods tolerate."
    )
    affinity: Affinity | None = Field(default=None, description="What the pods are drawn to or kept away from.")
    priority_class_name: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="PriorityClass of the pods."
    )
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=8)] = Field(
        default_factory=list, description="How evenly the pods are spread."
    )
    image_pull_secrets: Annotated[list[ObjectRef], Field(max_length=8), UniqueItems(by="name")] = Field(
        default_factory=list, description="Secrets to pull images with."
    )
