"""What every resource has besides its spec: object metadata, references and conditions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from milepost_crds.fields import Key, ObjectName, ResourceName
from milepost_crds.rules import Model, Rule

GROUP = "milepost.dev"
VERSION = "v1alpha1"
API_VERSION = "milepost.dev/v1alpha1"

NAME_RULE = Rule(
    message="is not a name that a Service can have; allowed: 1 to 63 lower-case letters, digits and inner hyphens, a "
    "letter first",
    cel="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    holds=lambda resource: True,  # the type ResourceName has refused others
    field="metadata",
)


class ObjectMeta(Model):
    """Kubernetes object metadata; what only the API server writes is taken as it comes."""

    name: ResourceName = Field(description="Name of the resource, unique for its kind in its namespace.")
    namespace: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        default="default", description="Namespace of the resource."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")
    uid: str | None = Field(default=None, description="Identity over time.")
    resource_version: str | None = Field(default=None, description="Version of the stored object.")
    generation: int | None = Field(default=None, description="Counts changes of the spec.")
    creation_timestamp: str | None = Field(default=None, description="When it was created.")
    deletion_timestamp: str | None = Field(default=None, description="When its deletion was asked for.")
    deletion_grace_period_seconds: int | None = Field(default=None, description="Seconds left to it.")
    generate_name: str | None = Field(default=None, description="Prefix of a generated name.")
    self_link: str | None = Field(default=None, description="Unused by Kubernetes.")
    finalizers: list[str] = Field(default_factory=list, description="Who must agree to its deletion.")
    owner_references: list[dict[str, Any]] = Field(default_factory=list, description="What owns it.")
    managed_fields: list[dict[str, Any]] = Field(default_factory=list, description="Who wrote which field.")


class NamedRef(Model):
    """Reference by name in the same namespace."""

    name: ResourceName = Field(description="Name in the same namespace.")


class ObjectRef(Model):
    """Reference to a built-in object by name in the same namespace."""

    name: ObjectName = Field(description="Name in the same namespace.")


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: Key = Field(default="apiKey", description="Key in the Secret.")


class Reported(Model):
    """Base of what the operator reports: unknown fields are passed over, for an older release."""

    model_config = ConfigDict(extra="ignore")


class Condition(Reported):
    """One aspect of the state, in the form of Kubernetes conditions."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z0-9]*$")] = Field(
        description="Aspect, for example Ready."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern="^[A-Z][A-Za-z0-9]*$")] = Field(
        description="Why, as one CamelCase word that programs may rely on."
    )
    message: Annotated[str, StringConstraints(max_length=4096)] = Field(
        default="", description="Why, for people; names the field and the remedy when there is one."
    )
    observed_generation: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Generation of the spec that the condition speaks of."
    )
    last_transition_time: Annotated[
        str, StringConstraints(max_length=40), Field(json_schema_extra={"format": "date-time"})
    ] = Field(description="When `status` changed last, RFC 3339.")


class ConfigMap(Model):
    """A v1 ConfigMap; local mode takes documents from it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message='has a key that starts with ".."; allowed: keys of letters, digits, hyphens, dots and underscores',
            cel=None,
            holds=lambda config_map: all(key != "." and not key.startswith("..") for key in config_map.data),
            field="data",
        ),
    )

    api_version: Literal["v1"] = Field(default="v1", description="API version.")
    kind: Literal["ConfigMap"] = Field(default="ConfigMap", description="Kind.")
    metadata: ObjectMeta = Field(description="Object metadata.")
    data: dict[Key, str] = Field(default_factory=dict, description="Texts by key.")
    binary_data: dict[Key, str] = Field(default_factory=dict, description="Base64 data by key; not used.")
    immutable: bool | None = Field(default=None, description="Whether it may change.")

    @property
    def name(self) -> str:
        """Name of the ConfigMap."""
        return self.metadata.name
