"""Continuations of a raw prompt, scored by servers that tell the log-probabilities of what they are sent."""

from collections.abc import Sequence

from milepost_model.remote.answers import Echo, EchoChoice
from milepost_model.remote.asking import COMPLETIONS, Asking, Taken
from milepost_model.remote.failures import ServerError
from milepost_model.remote.tokens import estimated_tokens
from milepost_model.results import Scored

_OF_THE_KEY = (401, 403)


async def echoed(
    asking: Asking, prompt: str, candidates: Sequence[str], taken: Taken, deadline: float
) -> list[Scored] | None:
    """Each candidate over the tokens that the server makes of it; None where it cannot, which is not tried again."""
    if not asking.dialect.echoes:
        return None
    texts = [prompt + candidate for candidate in candidates]
    body = {"prompt": texts, "echo": True, "logprobs": 1, "temperature": 0}
    try:
        answer = await asking.whole(COMPLETIONS, body, Echo, taken, deadline, max_tokens=1)
    except ServerError as error:
        if error.passes or error.status in _OF_THE_KEY:
            raise
        asking.dialect.echoes = False
        return None
    own = Taken()
    own.add(answer.usage, sum(map(estimated_tokens, texts)), "")
    asking.count(own, taken)
    by_index = {choice.index: choice for choice in answer.choices}
    scored = [_scored(by_index.get(index), prompt, candidate) for index, candidate in enumerate(candidates)]
    whole = [each for each in scored if each is not None]
    asking.dialect.echoes = len(whole) == len(candidates)
    return whole if asking.dialect.echoes else None


def _scored(choice: EchoChoice | None, prompt: str, candidate: str) -> Scored | None:
    """The sum over the tokens that reach into the candidate and begin before its end."""
    if choice is None or choice.logprobs is None or not choice.text.startswith(prompt + candidate):
        return None
    offsets, values = choice.logprobs.text_offset, choice.logprobs.token_logprobs
    if len(offsets) != len(values):
        return None
    ends = [*offsets[1:], len(choice.text)]
    whole = len(prompt) + len(candidate)
    own = [
        value
        for value, begin, end in zip(values, offsets, ends, strict=True)
        if end > len(prompt) and begin < whole and value is not None
    ]
    return Scored(candidate, sum(own), len(own)) if own else None
