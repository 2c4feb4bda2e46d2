"""Rules over several fields, each written once as Python and once as CEL, so that both sides stay in sight."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """One rule of a model: `holds` judges the parsed model, `cel` the stored object.

    `message` reads "what is wrong; allowed: ..."; `field` is the camelCase name of the field at fault, "" for the
    object itself. `cel` is None where a schema keyword already says the same.
    """

    message: str
    cel: str | None
    holds: Callable[[Any], bool]
    field: str = ""

    def as_validation(self) -> dict[str, str]:
        """The entry for `x-kubernetes-validations`."""
        assert self.cel is not None
        validation = {"rule": self.cel, "message": self.message}
        return validation | ({"fieldPath": f".{self.field}"} if self.field else {})


class Model(BaseModel):
    """Base of all parts of a resource: camelCase outside, unknown fields refused, nothing coerced."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        # The API server drops an explicit null of a known field before it applies the default.
        if not isinstance(data, dict):
            return data
        known = {field.alias for field in cls.model_fields.values()} | set(cls.model_fields)
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        broken = [(rule.field, rule.message) for rule in self.rules if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rules", "{broken}", {"broken": broken})
        return self

    def as_manifest(self) -> dict[str, Any]:
        """The object as JSON-able data with camelCase names, defaults filled in, absent and empty parts left out."""
        manifest: dict[str, Any] = _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        return manifest

    def is_set(self, alias: str) -> bool:
        """Whether the optional field of this camelCase name has a value."""
        return any(
            getattr(self, name) is not None for name, field in type(self).model_fields.items() if field.alias == alias
        )


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def exactly_one(*aliases: str) -> Rule:
    """Exactly one of these optional fields is set."""
    listed = ", ".join(aliases)
    count = " + ".join(f"(has(self.{_cel_name(alias)}) ? 1 : 0)" for alias in aliases)
    return Rule(
        message=f"does not set exactly one of {listed}; allowed: exactly one of {listed}",
        cel=f"{count} == 1",
        holds=lambda model: sum(model.is_set(alias) for alias in aliases) == 1,
    )


def at_most_one(*aliases: str) -> Rule:
    """None or one of these optional fields is set."""
    listed = ", ".join(aliases)
    count = " + ".join(f"(has(self.{_cel_name(alias)}) ? 1 : 0)" for alias in aliases)
    return Rule(
        message=f"sets more than one of {listed}; allowed: one of {listed}, or none",
        cel=f"{count} <= 1",
        holds=lambda model: sum(model.is_set(alias) for alias in aliases) <= 1,
    )


def unchanged(alias: str, remedy: str, *, optional: bool = False) -> Rule:
    """An update leaves the field as it was; `optional`: it may not be added or taken away either.

    Only the API server sees updates, so there is nothing to judge here. It tries the rule on a default of the object
    whose fields have no defaults yet, too: a field that is always there is asked for all the same.
    """
    name = _cel_name(alias)
    same = f"{_either_absent(name)} || self.{name} == oldSelf.{name}"
    if optional:
        same = f"has(self.{name}) == has(oldSelf.{name}) && ({same})"
    return Rule(f"cannot be changed; allowed: its value as it was, or {remedy}", same, _always, field=alias)


def not_smaller(alias: str, remedy: str) -> Rule:
    """An update leaves the quantity as it was or makes it larger."""
    name = _cel_name(alias)
    compared = f"quantity(string(self.{name})).compareTo(quantity(string(oldSelf.{name}))) >= 0"
    cel = f"{_either_absent(name)} || {compared}"
    return Rule(f"cannot shrink; allowed: its size as it was or more, or {remedy}", cel, _always, field=alias)


def _either_absent(name: str) -> str:
    return f"!has(self.{name}) || !has(oldSelf.{name})"


def _always(model: Any) -> bool:
    return True


def _cel_name(alias: str) -> str:
    return f"__{alias}__" if alias in {"package", "namespace"} else alias.replace("-", "__dash__")
