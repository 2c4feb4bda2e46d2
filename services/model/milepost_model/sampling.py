"""Settings of one generation, as a request asks for them and its service allows."""

import math
from dataclasses import dataclass, field

from milepost.model.v1 import model_pb2
from milepost_crds import ModelService
from milepost_service.errors import InvalidArgumentError

MAX_STOP_TEXTS = 8


@dataclass(frozen=True)
class Sampling:
    """Settings of one generation. `temperature` 0 always takes the likeliest token; `seed` None draws a new one."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = field(default_factory=tuple)
    presence_penalty: float = 0.0
    """Taken off the logit of each token that the answer has; `frequency_penalty` as often as it has it."""
    frequency_penalty: float = 0.0
    alternatives: int = 0
    """How many of the likeliest tokens are told with each that was drawn, where that is told."""
    grammar: str = ""
    """What the answer may be, in llama.cpp's notation (GBNF); empty: anything."""


def sampling_of(wish: model_pb2.Sampling, resource: ModelService) -> Sampling:
    """The request's sampling with the service's defaults; refuses what is out of range."""
    default = resource.spec.generation
    temperature = wish.temperature if wish.HasField("temperature") else default.temperature
    top_p = wish.top_p if wish.HasField("top_p") else default.top_p
    if wish.max_tokens < 0:
        raise InvalidArgumentError(f"max_tokens: is {wish.max_tokens}; allowed: 0 (the default) or more")
    if not (math.isfinite(temperature) and 0 <= temperature <= 2):
        raise InvalidArgumentError(f"temperature: is {temperature:g}; allowed: 0 to 2")
    if not 0 <= top_p <= 1:
        raise InvalidArgumentError(f"top_p: is {top_p:g}; allowed: 0 to 1")
    if len(wish.stop) > MAX_STOP_TEXTS or not all(wish.stop):
        raise InvalidArgumentError(f"stop: allowed: at most {MAX_STOP_TEXTS} non-empty texts")
    return Sampling(
        max_tokens=wish.max_tokens or default.max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=wish.seed if wish.HasField("seed") else default.seed,
        stop=tuple(wish.stop or default.stop),
    )
