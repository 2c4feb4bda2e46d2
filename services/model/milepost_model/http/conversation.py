"""From the messages of a chat request to the turns that a chat template knows."""

from collections.abc import Sequence

from milepost_model.http.parameters import Message, Tool
from milepost_model.http.tools import instructions, written
from milepost_model.requests import Turn

_RESPONSE_END = "\n</tool_response>"


def turns_of(messages: Sequence[Message], tools: Sequence[Tool], *, is_required: bool) -> list[Turn]:
    """Turns of system, user and assistant; tools are told of in the system turn, their results in one of the user."""
    turns: list[Turn] = []
    for message in messages:
        turn = _turn_of(message)
        if turns and message.role == "tool" and turns[-1].content.endswith(_RESPONSE_END):
            turns[-1] = Turn("user", f"{turns[-1].content}\n{turn.content}")
        else:
            turns.append(turn)
    if not tools:
        return turns
    told = instructions(tools, is_required=is_required)
    if turns[0].role == "system":
        return [Turn("system", f"{turns[0].content}\n\n{told}"), *turns[1:]]
    return [Turn("system", told), *turns]


def _turn_of(message: Message) -> Turn:
    if message.role == "tool":
        return Turn("user", f"<tool_response>\n{message.content}{_RESPONSE_END}")
    if message.tool_calls:
        calls = [written(call.function.name, call.function.arguments) for call in message.tool_calls]
        return Turn("assistant", "\n".join([message.content, *calls] if message.content else calls))
    return Turn("system" if message.role == "developer" else message.role, message.content)
