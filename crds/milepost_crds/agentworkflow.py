"""AgentWorkflow: a bounded graph of roles that uses ModelServices."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from milepost_crds.engines import ModelSource
from milepost_crds.fields import (
    Description,
    Duration,
    DurationRange,
    Label,
    ObjectName,
    PositiveQuantity,
    Prompt,
    Share,
    Tag,
    Tokens,
    UniqueItems,
    Url,
    nested,
)
from milepost_crds.metadata import NAME_RULE, Condition, NamedRef, ObjectMeta, Reported
from milepost_crds.modelservice import Count
from milepost_crds.rules import Model, Rule, at_most_one, not_smaller, unchanged
from milepost_crds.scheduling import Scheduling

RESERVED_STEP_NAMES = ("recommend", "arbitrate", "finish")
LINEAR_HOPS = 3
CYCLIC_HOPS = 5

_CYCLE_ENDS = "self.steps.filter(step, step.name == self.cycle.from || step.name == self.cycle.to)"

_NEW_VOLUMES = "a workflow of another name, whose runs begin anew"

StepTimeout = Annotated[Duration, DurationRange("1s", "1h")]
RunTimeout = Annotated[Duration, DurationRange("1s", "24h")]
WaitTimeout = Annotated[Duration, DurationRange("1s", "8760h")]


class Step(Model):
    """One role of the workflow and who plays it. Without capability and serviceRef, the router chooses among all."""

    rules: ClassVar[tuple[Rule, ...]] = (
        at_most_one("capability", "serviceRef"),
        Rule(
            message=f"is a reserved step name; allowed: any name but {', '.join(RESERVED_STEP_NAMES)}",
            cel=f"!(self.name in {list(RESERVED_STEP_NAMES)})",
            holds=lambda step: step.name not in RESERVED_STEP_NAMES,
            field="name",
        ),
    )

    name: Label = Field(description="Name of the step, unique in the workflow.")
    role: Tag = Field(description="Role that is played, for example coder; addresses messages between agents.")
    capability: Tag | None = Field(default=None, description="Capability tag that the service must offer.")
    service_ref: NamedRef | None = Field(default=None, description="The one ModelService that does the step.")
    instructions: Prompt = Field(default="", description="What the role is told to do.")
    timeout: StepTimeout = Field(default="5m", description="Longest time for one hop of the step, 1s to 1h.")
    require_approval: bool = Field(default=False, description="Whether a person must approve before the step runs.")
    optional: bool = Field(
        default=False,
        description="Whether the arbitrator may skip it: not needed by the request, or no service ready.",
    )
    max_tokens: Tokens | None = Field(
        default=None, description="Most tokens of the step's answer; left out, what the service says."
    )


class Cycle(Model):
    """The way back in a cyclic workflow."""

    from_: Label = Field(alias="from", description="Step after which the cycle may start again.")
    to: Label = Field(description="Step that it goes back to; not after `from`.")
    max_cycles: Annotated[int, Field(ge=1, le=2)] = Field(
        default=2, description="How often the step `from` runs at most."
    )


class RouterModel(Model):
    """A larger model that is asked first."""

    source: ModelSource = Field(description="Where the GGUF file comes from.")
    deadline: Annotated[Duration, DurationRange("1s", "60s")] = Field(
        default="2s", description="Time for one answer, 1s to 60s; after it the embedded model answers."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Threads that compute; they compete with the other work of the agent."
    )


class Router(Model):
    """The embedded model that recommends services."""

    model: RouterModel | None = Field(
        default=None,
        description="A larger model that is asked first. Where it is missing, broken or late, the embedded one answers "
        "and says so; left out, the embedded one alone.",
    )

    confidence_threshold: Share = Field(default=0.5, description="Confidence below which no recommendation is trusted.")
    default_service: NamedRef | None = Field(default=None, description="Service to use when none is trusted.")


class Arbitrator(Model):
    """The agent that decides."""

    model_ref: NamedRef = Field(description="ModelService that scores the choices.")
    weight: Share = Field(default=0.3, description="Weight of the model's evidence; 0 follows the router.")
    on_low_confidence: Literal["defaultService", "ask"] = Field(
        default="defaultService", description="Below the threshold: take the default service, or ask the user and wait."
    )


class Storage(Model):
    """The volume of one replica."""

    rules: ClassVar[tuple[Rule, ...]] = (
        unchanged("className", _NEW_VOLUMES, optional=True),
        not_smaller("size", _NEW_VOLUMES),
    )

    size: PositiveQuantity = Field(default="1Gi", description="Size of the volume.")
    class_name: ObjectName | None = Field(default=None, description="StorageClass; left out, the cluster's default.")


class Backup(Model):
    """Verified copies of the state."""

    interval: Annotated[Duration, DurationRange("1m", "720h")] = Field(
        default="1h", description="Time between backups."
    )
    keep: Annotated[int, Field(ge=1, le=100)] = Field(default=24, description="Backups that are kept.")


class Retention(Model):
    """What is kept of runs that ended."""

    ended_runs: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1000, description="Ended runs that are kept.")
    max_age: Annotated[Duration, DurationRange("1m", "8760h")] = Field(
        default="720h", description="Age at which an ended run is removed."
    )


class Checkpoint(Model):
    """Where and how safely the state of runs is kept."""

    rules: ClassVar[tuple[Rule, ...]] = (unchanged("backend", _NEW_VOLUMES),)

    backend: Literal["sqlite", "postgres"] = Field(
        default="sqlite", description="One SQLite file for each replica, or a shared Postgres."
    )
    storage: Storage = nested(Storage, "The volume of one replica.")
    durability: Literal["full", "normal"] = Field(
        default="full",
        description="What each step survives. full: a power loss; normal: a killed process.",
    )
    backup: Backup | None = Field(default=None, description="Verified backups; left out, none.")
    retention: Retention = nested(Retention, "What is kept of runs that ended.")
    reclaim_policy: Literal["Retain", "Delete"] = Field(
        default="Retain", description="What happens to the volumes when the workflow is deleted."
    )


class Observability(Model):
    """What the agent emits."""

    mode: Literal["shipping", "debug"] = Field(
        default="shipping", description="shipping: spans only; debug: metrics and logs too. A change restarts nothing."
    )
    otlp_endpoint: Url | None = Field(
        default=None,
        description="OTLP/gRPC endpoint for the agent; left out, that of its environment. Services keep theirs.",
    )


def _cycle_points_back(spec: "AgentWorkflowSpec") -> bool:
    names = [step.name for step in spec.steps]
    if spec.cycle is None or spec.cycle.from_ not in names or spec.cycle.to not in names:
        return True
    return names.index(spec.cycle.to) <= names.index(spec.cycle.from_)


def _cycle_end_exists(end: str, attribute: str) -> Rule:
    return Rule(
        message="names no step; allowed: the name of one of the steps",
        cel=f"!has(self.cycle) || self.steps.exists(step, step.name == self.cycle.{end})",
        holds=lambda spec: spec.cycle is None or getattr(spec.cycle, attribute) in {step.name for step in spec.steps},
        field=f"cycle.{end}",
    )


class AgentWorkflowSpec(Scheduling):
    """What an AgentWorkflow is asked to be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *Scheduling.rules,
        Rule(
            message=f"has too many steps for pattern linear; allowed: 1 to {LINEAR_HOPS} steps",
            cel=f"self.pattern != 'linear' || size(self.steps) <= {LINEAR_HOPS}",
            holds=lambda spec: spec.pattern != "linear" or len(spec.steps) <= LINEAR_HOPS,
            field="steps",
        ),
        Rule(
            message=f"is too large for pattern linear; allowed: 1 to {LINEAR_HOPS}",
            cel=f"self.pattern != 'linear' || !has(self.maxHops) || self.maxHops <= {LINEAR_HOPS}",
            holds=lambda spec: spec.pattern != "linear" or (spec.max_hops or 0) <= LINEAR_HOPS,
            field="maxHops",
        ),
        Rule(
            message="must be set with pattern cyclic and only then; allowed: cycle when pattern is cyclic",
            cel="has(self.cycle) == (self.pattern == 'cyclic')",
            holds=lambda spec: (spec.cycle is not None) == (spec.pattern == "cyclic"),
            field="cycle",
        ),
        _cycle_end_exists("from", "from_"),
        _cycle_end_exists("to", "to"),
        Rule(
            message="comes after cycle.from; allowed: the step of cycle.from or one before it",
            cel=f"!has(self.cycle) || {_CYCLE_ENDS}.size() < 2 || {_CYCLE_ENDS}[0].name == self.cycle.to",
            holds=_cycle_points_back,
            field="cycle.to",
        ),
    )

    description: Description = Field(default="", description="What the workflow does.")
    pattern: Literal["linear", "cyclic"] = Field(description="Steps once in order, or with a way back.")
    steps: Annotated[list[Step], Field(min_length=1, max_length=CYCLIC_HOPS), UniqueItems(by="name")] = Field(
        description="Steps in order: 1 to 3 if linear, 1 to 5 if cyclic."
    )
    cycle: Cycle | None = Field(default=None, description="The way back; needed if and only if cyclic.")
    max_hops: Annotated[int, Field(ge=1, le=CYCLIC_HOPS)] | None = Field(
        default=None, description="Most hops of a run: at most and by default 3 if linear, 5 if cyclic."
    )
    run_timeout: RunTimeout = Field(
        default="15m", description="Longest time that a run works, 1s to 24h; waiting for people does not count."
    )
    wait_timeout: WaitTimeout | None = Field(
        default=None, description="Longest time that a run waits for an answer or approval; left out, without end."
    )
    router: Router = nested(Router, "The embedded model that recommends services.")
    arbitrator: Arbitrator = Field(description="The agent that decides.")
    checkpoint: Checkpoint = nested(Checkpoint, "Where and how safely the state of runs is kept.")
    observability: Observability = nested(Observability, "What the agent emits.")
    replicas: Annotated[int, Field(ge=1, le=16)] = Field(default=1, description="Number of agent pods.")

    @property
    def hop_limit(self) -> int:
        """The most hops of a run, with the default of the pattern applied."""
        return self.max_hops or (LINEAR_HOPS if self.pattern == "linear" else CYCLIC_HOPS)


class AgentWorkflowStatus(Reported):
    """What was seen of an AgentWorkflow."""

    observed_generation: Count = Field(default=0, description="Generation of the spec that the status speaks of.")
    conditions: Annotated[list[Condition], Field(max_length=16), UniqueItems(by="type")] = Field(
        default_factory=list, description="Aspects of the state; Ready means that a real request was served."
    )
    replicas: Count = Field(default=0, description="Pods that exist.")
    ready_replicas: Count = Field(default=0, description="Pods that are ready.")
    endpoint: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        default=None, description="gRPC target inside the cluster."
    )
    capabilities: Annotated[list[Tag], Field(max_length=64)] = Field(
        default_factory=list, description="Capability tags that ready services offer to the workflow."
    )


class AgentWorkflow(Model):
    """A bounded graph of roles that uses ModelServices and goes on from its last completed step."""

    rules: ClassVar[tuple[Rule, ...]] = (NAME_RULE,)

    api_version: Literal["milepost.dev/v1alpha1"] = Field(default="milepost.dev/v1alpha1", description="API version.")
    kind: Literal["AgentWorkflow"] = Field(default="AgentWorkflow", description="Kind.")
    metadata: ObjectMeta = Field(description="Object metadata.")
    spec: AgentWorkflowSpec = Field(description="What the workflow is asked to be.")
    status: AgentWorkflowStatus | None = Field(default=None, description="What the operator saw of it.")

    @property
    def name(self) -> str:
        """Name of the workflow."""
        return self.metadata.name
