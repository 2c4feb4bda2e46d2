"""What servers of the OpenAI API do not have in common, learned from what one refuses."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost_model.remote.failures import ServerError

Body = Mapping[str, Any]
FEW_ALTERNATIVES = 5
_REFUSALS = frozenset((400, 404, 405, 415, 422, 501))
_log = logging.getLogger(__name__)


@dataclass
class Dialect:
    """How requests to one server are written; what it once refused is not asked of it again in this process."""

    tells_usage: bool = True
    """Takes `stream_options`."""
    limit: str = "max_tokens"
    """OpenAI's newer models know only `max_completion_tokens`."""
    alternatives: int = 20
    """Log-probabilities that are told beside a token: OpenAI allows 20, others 5; 0: none are."""
    echoes: bool = True
    """Tells log-probabilities of the tokens of a prompt."""
    holds_to_schemas: bool = True
    """Takes `response_format` with a JSON schema."""

    def written(self, body: Body, *, max_tokens: int, stream: bool = False) -> dict[str, Any]:
        """The body with what differs between servers."""
        whole = {**body, self.limit: max_tokens}
        if stream:
            whole["stream"] = True
            if self.tells_usage:
                whole["stream_options"] = {"include_usage": True}
        return whole

    def learn(self, error: ServerError, body: Body) -> bool:
        """Whether the request may be taken when it is written anew: what was refused in it can be put otherwise."""
        if error.status not in _REFUSALS:
            return False
        if "stream_options" in body and "stream_options" in error.said:
            self.tells_usage = False
        elif self.limit == "max_tokens" and "max_completion_tokens" in error.said:
            self.limit = "max_completion_tokens"
        else:
            return False
        _log.info("asked in another way from now on: %s", error)
        return True

    def without_alternatives(self, error: ServerError) -> bool:
        """Whether the choice may be had another way; what was refused by name is asked for less, or not at all."""
        if "logprob" in error.said:
            self.alternatives = FEW_ALTERNATIVES if self.alternatives > FEW_ALTERNATIVES else 0
        return error.status in _REFUSALS

    def without_schema(self, error: ServerError) -> bool:
        """Whether the choice may be had without a schema; one that was refused by name is not asked for again."""
        if "response_format" in error.said or "schema" in error.said:
            self.holds_to_schemas = False
        return error.status in _REFUSALS
