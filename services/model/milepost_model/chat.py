"""The model's own chat template."""

import re
from collections.abc import Sequence

from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from milepost_model.errors import NoChatTemplateError
from milepost_model.requests import Turn
from milepost_model.weights import Weights
from milepost_service.errors import ConfigurationError, InvalidArgumentError


class ChatTemplate:
    """Renders turns to tokens, up to where the assistant's answer begins."""

    def __init__(self, weights: Weights) -> None:
        if weights.chat_template is None:
            raise NoChatTemplateError(weights.name)
        self._weights = weights
        try:
            self._formatter = Jinja2ChatFormatter(
                weights.chat_template, eos_token=weights.end_text, bos_token=weights.begin_text
            )
        except TemplateError as error:
            raise ConfigurationError(
                f"llamaCpp.source: the chat template of {weights.name} is broken: {error}"
            ) from None
        self._control = re.compile("|".join(re.escape(text) for text in weights.control_texts) or r"(?!)")

    def tokens_of(self, turns: Sequence[Turn]) -> list[int]:
        """Tokens of the chat.

        Control texts inside of a message lose their power (a space parts them), so that a document cannot end
        the user's turn. Where a template knows no system role, that text leads the first message.

        Raises:
            InvalidArgumentError: the template refuses the turns, for example two of the user in a row.
        """
        harmless = [Turn(turn.role, self._control.sub(_part, turn.content)) for turn in turns]
        try:
            text = self._render(harmless)
        except (TemplateError, ValueError):
            text = self._render_folded(harmless)
        begin = not (self._weights.begin_text and text.startswith(self._weights.begin_text))
        return self._weights.tokens_of(text, begin=begin, control=True)

    def _render_folded(self, turns: Sequence[Turn]) -> str:
        try:
            return self._render(_system_folded_in(turns))
        except (TemplateError, ValueError) as error:
            raise InvalidArgumentError(
                f"messages: the chat template of {self._weights.name} refuses them ({error}); "
                "allowed: roles in an order that it knows"
            ) from None

    def _render(self, turns: Sequence[Turn]) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        return str(self._formatter(messages=messages).prompt)


def _part(match: re.Match[str]) -> str:
    text = match.group()
    return f"{text[:1]} {text[1:]}"


def _system_folded_in(turns: Sequence[Turn]) -> list[Turn]:
    head, *tail = turns
    if head.role != "system" or not tail:
        return list(turns)
    return [Turn(tail[0].role, f"{head.content}\n\n{tail[0].content}"), *tail[1:]]
