"""How the next token is drawn."""

import secrets
from dataclasses import dataclass, field

import llama_cpp

from milepost_model.context import Context


@dataclass(frozen=True)
class Sampling:
    """Settings of one generation. `temperature` 0 always takes the likeliest token; `seed` None draws a new one."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = field(default_factory=tuple)


class Sampler:
    """llama.cpp's sampler chain for one generation."""

    def __init__(self, sampling: Sampling) -> None:
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for part in _parts(sampling):
            llama_cpp.llama_sampler_chain_add(self._chain, part)

    def draw(self, context: Context) -> int:
        """The next token after what the context holds."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, -1))

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._chain)


def _parts(sampling: Sampling) -> list[object]:
    if sampling.temperature == 0:
        return [llama_cpp.llama_sampler_init_greedy()]
    seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
    return [
        llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
        llama_cpp.llama_sampler_init_temp(sampling.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]
