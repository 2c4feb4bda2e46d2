"""A tool of a server."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import jsonschema
import referencing
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for
from mcp import types
from referencing.exceptions import Unresolvable

from milepost_tools.errors import ToolError
from milepost_tools.mcp_servers.listing import MAX_DESCRIPTION
from milepost_tools.tool import Arguments, Outcome, Schema, shortened

Call = Callable[[str, Arguments, str], Awaitable[types.CallToolResult]]
"""(the server's own name of the tool, arguments, idempotency key) -> result; ToolError."""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class McpTool:
    """One tool, named `SERVER.NAME`, so that tools of several servers never share a name."""

    name: str
    description: str
    schema: Schema
    own_name: str
    made_by: Call
    kind: str = "extension"

    @classmethod
    def of(cls, server: str, tool: types.Tool, call: Call) -> "McpTool":
        """The tool as the server describes it, in one line."""
        description = _SPACE.sub(" ", tool.description or tool.title or tool.name)[:MAX_DESCRIPTION]
        return cls(f"{server}.{tool.name}", description, tool.input_schema, tool.name, call)

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        check_arguments(self.schema, arguments)
        result = await self.made_by(self.own_name, arguments, key)
        text = shortened(text_of(result))
        if result.is_error:
            raise ToolError(text or "failed without saying why")
        return Outcome(text, f"{self.name}: {text}")


def check_arguments(schema: Schema, arguments: Arguments) -> None:
    """ToolError, in one line, unless the arguments satisfy the schema. Nothing that it refers to is fetched."""
    kind: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        wrong = best_match(kind(schema, registry=referencing.Registry()).iter_errors(arguments))
    except (SchemaError, Unresolvable, re.error) as error:
        raise ToolError(f"the server's schema of the arguments cannot be used: {str(error).splitlines()[0]}") from None
    if wrong is not None:
        path = ".".join(["arguments", *map(str, wrong.absolute_path)])
        raise ToolError(f"{path}: {shortened(str(wrong.message), 300)}")


def text_of(result: types.CallToolResult) -> str:
    """All text of a result; what is no text is named. Structured content where there is no other."""
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _part(block: types.ContentBlock) -> str:
    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
        return block.resource.text
    if isinstance(block, types.ResourceLink):
        return f"[{block.uri}]"
    return f"[{block.type} that is not passed on]"
