"""The model as requests name it, and what they share: its name, their sampling, their usage."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from milepost_crds import ModelService
from milepost_model.engine import Engine
from milepost_model.http.errors import ApiError
from milepost_model.http.parameters import Generation
from milepost_model.results import Finished
from milepost_model.sampler import Sampler
from milepost_model.sampling import Sampling

_SEEDS = 2**32


class Served:
    """The one model of this process, under the name of its ModelService."""

    def __init__(self, engine: Engine, resource: ModelService) -> None:
        self.engine = engine
        self.name = resource.name
        self._defaults = resource.spec.generation
        self._since = int(time.time())

    def described(self) -> dict[str, Any]:
        """The entry in the list of models; `meta` is as llama.cpp's server has it."""
        weights = self.engine.weights
        meta = {
            "n_vocab": weights.vocabulary_size,
            "n_ctx": self.engine.context_tokens,
            "n_ctx_train": weights.trained_context,
            "n_embd": weights.embedding_size,
            "size": weights.size_bytes,
        }
        return {"id": self.name, "object": "model", "created": self._since, "owned_by": "milepost", "meta": meta}

    def require(self, name: str) -> None:
        """Raises ApiError when another model is meant."""
        if name != self.name:
            raise ApiError(
                404,
                f"model: {name[:80]!r} is not served here; allowed: {self.name}",
                code="model_not_found",
                param="model",
            )

    def sampling(
        self, wish: Generation, *, most_tokens: int | None, grammar: str = "", alternatives: int = 0
    ) -> Sampling:
        """The request's sampling with the service's defaults. Takes a while where there is a grammar.

        Raises:
            InvalidArgumentError: llama.cpp cannot follow the grammar.
        """
        default = self._defaults
        seed = wish.seed if wish.seed is not None else default.seed
        sampling = Sampling(
            max_tokens=most_tokens or default.max_tokens,
            temperature=wish.temperature if wish.temperature is not None else default.temperature,
            top_p=wish.top_p if wish.top_p is not None else default.top_p,
            seed=seed % _SEEDS if seed is not None else None,
            stop=tuple(wish.stop if wish.stop is not None else default.stop),
            presence_penalty=wish.presence_penalty,
            frequency_penalty=wish.frequency_penalty,
            alternatives=alternatives,
            grammar=grammar,
        )
        if grammar:
            Sampler(self.engine.weights, sampling).close()  # llama.cpp has its own word on it
        return sampling

    def head(self, kind: str, prefix: str) -> dict[str, Any]:
        """How every answer to a request for text begins."""
        return {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
            "system_fingerprint": f"fp_{self.engine.sha256[:12]}",
        }


def of_choice(sampling: Sampling, number: int) -> Sampling:
    """The sampling of one of several answers to a prompt: a seed gives each one of its own."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + number) % _SEEDS)


def usage_of(ended: Mapping[int, Finished], *, answers_per_prompt: int) -> dict[str, Any]:
    """Tokens of all answers, by index, and of their prompts, each counted once."""
    prompts: Iterable[Finished] = [one for index, one in ended.items() if index % answers_per_prompt == 0]
    read = sum(one.prompt_tokens for one in prompts)
    made = sum(one.completion_tokens for one in ended.values())
    cached = sum(one.cached_tokens for one in prompts)
    return {
        "prompt_tokens": read,
        "completion_tokens": made,
        "total_tokens": read + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
