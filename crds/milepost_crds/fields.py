"""The bounded texts, numbers and lists that the resources are made of; each says how it reads to a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from milepost_crds.units import DURATION_PATTERN, QUANTITY_PATTERN, parse_duration, parse_quantity

RESOURCE_NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
TAG_PATTERN = "^[a-z0-9]+(-[a-z0-9]+)*$"
KEY_PATTERN = "^[-._a-zA-Z0-9]+$"
PATH_PATTERN = "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
PACKAGE_PATTERN = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
REPOSITORY_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
REVISION_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._/-]*$"
SHA256_PATTERN = "^[0-9a-f]{64}$"
URL_PATTERN = r"^https?://[A-Za-z0-9\[][!-~]*$"
HOST_PATTERN = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[0-9]{1,5})?$"
_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
NETWORK_PATTERN = rf"^({_OCTET}(\.{_OCTET}){{3}}/([12]?[0-9]|3[0-2])|[0-9a-f:]*:[0-9a-f:]*/[0-9]{{1,3}})$"
MODEL_NAME_PATTERN = "^[!-~]+$"

HINTS = {
    RESOURCE_NAME_PATTERN: "lower-case letters, digits and inner hyphens, a letter first",
    LABEL_PATTERN: "lower-case letters, digits and inner hyphens",
    OBJECT_NAME_PATTERN: "lower-case letters, digits, inner hyphens and dots",
    TAG_PATTERN: "lower-case words and digits joined by single hyphens, such as code-review",
    KEY_PATTERN: "letters, digits, hyphens, dots and underscores",
    PATH_PATTERN: "a relative path such as models/small.gguf, no part of which starts with a dot",
    PACKAGE_PATTERN: "the name of a Python package",
    REPOSITORY_PATTERN: "OWNER/NAME",
    REVISION_PATTERN: "a branch, tag or commit",
    SHA256_PATTERN: "64 lower-case hexadecimal digits",
    URL_PATTERN: "a URL that starts with http:// or https://, in ASCII without spaces",
    HOST_PATTERN: "a host name such as example.org or *.example.org, with or without a port",
    NETWORK_PATTERN: "a network in CIDR notation such as 10.20.0.0/16 or fd00::/8",
    MODEL_NAME_PATTERN: "a name of visible ASCII characters",
    DURATION_PATTERN: 'a duration such as "90s", "5m" or "1h30m"',
    QUANTITY_PATTERN: 'a quantity such as 2, "500m" or "1.5Gi" (in quotes unless it is a whole number)',
}
"""What each pattern means, in words for an error message."""

Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=LABEL_PATTERN)]
ResourceName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=RESOURCE_NAME_PATTERN)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=OBJECT_NAME_PATTERN)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=TAG_PATTERN)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=KEY_PATTERN)]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=PATH_PATTERN)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=URL_PATTERN)]
Sha256 = Annotated[str, StringConstraints(min_length=64, max_length=64, pattern=SHA256_PATTERN)]
Description = Annotated[str, StringConstraints(max_length=1024)]
Prompt = Annotated[str, StringConstraints(max_length=8192)]
Tokens = Annotated[int, Field(ge=1, le=8192)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class UniqueItems:
    """The list is a set (`by` empty) or a map keyed by the field `by` of its items."""

    by: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        produced = handler(schema)
        keys = {"x-kubernetes-list-map-keys": [self.by]} if self.by else {}
        return produced | {"x-kubernetes-list-type": "map" if self.by else "set"} | keys

    def _check(self, items: Sequence[Any]) -> Sequence[Any]:
        keys = [getattr(item, self.by) if self.by else item for item in items]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                field = f"[{index}].{self.by}" if self.by else f"[{index}]"
                message = f'"{key}" is there twice; allowed: every {self.by or "item"} once'
                raise PydanticCustomError("rules", "{broken}", {"broken": [(field, message)]})
        return items


@dataclass(frozen=True)
class DurationRange:
    """Bounds of a duration, both included."""

    shortest: str
    longest: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        rule = f"duration(self) >= duration('{self.shortest}') && duration(self) <= duration('{self.longest}')"
        return handler(schema) | {"x-kubernetes-validations": [{"rule": rule, "message": self._message()}]}

    def _message(self) -> str:
        return f"is out of range; allowed: a duration from {self.shortest} to {self.longest}"

    def _check(self, text: str) -> str:
        if not parse_duration(self.shortest) <= parse_duration(text) <= parse_duration(self.longest):
            raise PydanticCustomError("rules", "{broken}", {"broken": [("", self._message())]})
        return text


@dataclass(frozen=True)
class IntOrString:
    """A quantity: a whole number is taken as its text, as the API server's int-or-string does."""

    positive: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        checked = core_schema.no_info_after_validator_function(self._check, handler(source))
        return core_schema.no_info_before_validator_function(_whole_number_as_text, checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        produced = {key: value for key, value in handler(schema).items() if key != "type"}
        produced |= {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
        }
        if self.positive:
            rule = "quantity(string(self)).isGreaterThan(quantity('0'))"
            produced["x-kubernetes-validations"] = [{"rule": rule, "message": self._message()}]
        return produced

    def _message(self) -> str:
        return 'is zero; allowed: a quantity above 0 such as "1Gi"'

    def _check(self, text: str) -> str:
        if self.positive and parse_quantity(text) == 0:
            raise PydanticCustomError("rules", "{broken}", {"broken": [("", self._message())]})
        return text


def _whole_number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Duration = Annotated[str, StringConstraints(min_length=2, max_length=16, pattern=DURATION_PATTERN)]
Quantity = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=QUANTITY_PATTERN), IntOrString()]
PositiveQuantity = Annotated[
    str, StringConstraints(min_length=1, max_length=32, pattern=QUANTITY_PATTERN), IntOrString(positive=True)
]


def nested(model: Callable[[], Any], description: str) -> Any:
    """A field that is always there: left out, it is the model with all its own defaults."""
    return Field(default_factory=model, description=description, json_schema_extra={"default": {}})
