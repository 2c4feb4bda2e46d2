"""ModelService: something that can do work, and says so by capability tags."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from milepost_crds.engines import LlamaCpp, OpenAI, Rag, Tools
from milepost_crds.fields import Description, Prompt, Share, Tag, Tokens, UniqueItems, nested
from milepost_crds.metadata import NAME_RULE, Condition, ObjectMeta, Reported
from milepost_crds.rules import Model, Rule, exactly_one
from milepost_crds.scheduling import Scheduling

EngineName = Literal["llamaCpp", "openAI", "rag", "tools"]
Example = Annotated[str, StringConstraints(min_length=1, max_length=512)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Count = Annotated[int, Field(ge=0)]


class Generation(Model):
    """How text is generated unless a call says otherwise."""

    max_tokens: Tokens = Field(default=256, description="Most tokens of an answer.")
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0, description="Randomness; 0 always takes the likeliest token."
    )
    top_p: Share = Field(default=1, description="Share of probability that tokens are drawn from.")
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = Field(
        default=None, description="Seed of the draw; left out, a new one each time."
    )
    stop: Annotated[list[StopText], Field(max_length=8)] = Field(
        default_factory=list, description="Texts that end an answer."
    )


class Autoscaling(Model):
    """Replicas that follow the number of waiting requests."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="is more than maxReplicas; allowed: at most maxReplicas",
            cel="self.minReplicas <= self.maxReplicas",
            holds=lambda autoscaling: autoscaling.min_replicas <= autoscaling.max_replicas,
            field="minReplicas",
        ),
    )

    min_replicas: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Least number of pods.")
    max_replicas: Annotated[int, Field(ge=1, le=64)] = Field(description="Largest number of pods.")
    target_queue_depth: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4, description="Waiting requests for each pod that are aimed at."
    )


class ModelServiceSpec(Scheduling):
    """What a ModelService is asked to be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *Scheduling.rules,
        exactly_one("llamaCpp", "openAI", "rag", "tools"),
        Rule(
            message="is set beside autoscaling; allowed: replicas or autoscaling, not both",
            cel="!has(self.autoscaling) || self.replicas == 1",
            holds=lambda spec: spec.autoscaling is None or spec.replicas == 1,
            field="replicas",
        ),
    )

    description: Description = Field(default="", description="What the service is good at; the router reads it.")
    capabilities: Annotated[list[Tag], Field(min_length=1, max_length=16), UniqueItems()] = Field(
        description="Capability tags, for example coding or code-review."
    )
    examples: Annotated[list[Example], Field(max_length=64)] = Field(
        default_factory=list, description="Requests that belong here; they help the router."
    )
    system_prompt: Prompt = Field(default="", description="System prompt of every call.")
    generation: Generation = nested(Generation, "How text is generated unless a call says otherwise.")
    replicas: Annotated[int, Field(ge=0, le=64)] = Field(
        default=1, description="Number of pods. Left at 1 when autoscaling is set, which then decides."
    )
    autoscaling: Autoscaling | None = Field(default=None, description="Replicas that follow the load.")
    llama_cpp: LlamaCpp | None = Field(default=None, description="Engine: a GGUF model served by llama.cpp.")
    open_ai: OpenAI | None = Field(default=None, alias="openAI", description="Engine: an OpenAI-compatible URL.")
    rag: Rag | None = Field(default=None, description="Engine: answers from documents.")
    tools: Tools | None = Field(default=None, description="Engine: tools that a model may call.")

    @property
    def engine(self) -> LlamaCpp | OpenAI | Rag | Tools:
        """The engine block that is set."""
        found = self.llama_cpp or self.open_ai or self.rag or self.tools
        assert found is not None
        return found

    @property
    def engine_name(self) -> EngineName:
        """Name of the engine block that is set."""
        if self.llama_cpp is not None:
            return "llamaCpp"
        if self.open_ai is not None:
            return "openAI"
        return "rag" if self.rag is not None else "tools"


class ModelStatus(Reported):
    """The model as it is really served."""

    digest: Annotated[str, StringConstraints(max_length=80)] | None = Field(
        default=None, description="Digest of the file that was loaded, sha256:HEX."
    )
    context_tokens: Count | None = Field(default=None, description="Context of one sequence in effect, in tokens.")
    sequences: Count | None = Field(default=None, description="Sequences decoded side by side.")
    threads: Count | None = Field(default=None, description="Threads that compute.")
    weights_bytes: Count | None = Field(default=None, description="Bytes of the file that was loaded.")
    kv_bytes_per_token: Count | None = Field(
        default=None, description="Bytes of keys and values that one token of context takes."
    )


class ModelServiceStatus(Reported):
    """What was seen of a ModelService."""

    observed_generation: Count = Field(default=0, description="Generation of the spec that the status speaks of.")
    conditions: Annotated[list[Condition], Field(max_length=16), UniqueItems(by="type")] = Field(
        default_factory=list, description="Aspects of the state; Ready means that a real request was served."
    )
    replicas: Count = Field(default=0, description="Pods that exist.")
    ready_replicas: Count = Field(default=0, description="Pods that are ready.")
    selector: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Label selector of the pods, for the scale subresource."
    )
    endpoint: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        default=None, description="gRPC target inside the cluster."
    )
    capabilities: Annotated[list[Tag], Field(max_length=16)] = Field(
        default_factory=list, description="Capability tags that are offered now."
    )
    model: ModelStatus | None = Field(default=None, description="The model as it is really served.")


class ModelService(Model):
    """Something that can do work, a model, documents or tools, and says so by capability tags."""

    rules: ClassVar[tuple[Rule, ...]] = (NAME_RULE,)

    api_version: Literal["milepost.dev/v1alpha1"] = Field(default="milepost.dev/v1alpha1", description="API version.")
    kind: Literal["ModelService"] = Field(default="ModelService", description="Kind.")
    metadata: ObjectMeta = Field(description="Object metadata.")
    spec: ModelServiceSpec = Field(description="What the service is asked to be.")
    status: ModelServiceStatus | None = Field(default=None, description="What the operator saw of it.")

    @property
    def name(self) -> str:
        """Name of the service."""
        return self.metadata.name
