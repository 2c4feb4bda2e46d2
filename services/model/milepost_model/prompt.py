"""From an Invoke request to a chat that fits the model's context."""

from collections.abc import Callable, Sequence

from milepost.capability.v1 import capability_pb2
from milepost_model.errors import PromptTooLongError
from milepost_model.requests import Turn
from milepost_model.results import Choice

_MARK = "[earlier text left out]\n"
_WORTH_KEEPING = 48  # tokens; a shorter rest of an earlier text says nothing

Fits = Callable[[capability_pb2.Context], bool]


def choice_of(verdicts: Sequence[str]) -> Choice | None:
    """The decision that ends an answer in a role that gives verdicts."""
    if not verdicts:
        return None
    return Choice(f"\n\nVerdict ({' or '.join(verdicts)}):", tuple(verdicts))


def turns_of(
    request: capability_pb2.InvokeRequest, system_prompt: str, context: Sequence[capability_pb2.Context]
) -> list[Turn]:
    """The chat for a role: who it is and what it shall do, then earlier work, messages and the request."""
    system = [system_prompt] if system_prompt else []
    if request.role:
        system.append(f"You act as the {request.role} of a team.")
    if request.instructions:
        system.append(request.instructions)
    user = [f"Work of the {item.role or item.step} before you:\n{item.text}" for item in context]
    user += [f"Message from the {message.sender_role}:\n{message.payload}" for message in request.messages]
    user.append(f"Request:\n{request.prompt}" if user else request.prompt)
    if request.verdicts:
        user.append(f"End with a verdict: {' or '.join(request.verdicts)}.")
    turns = [Turn("system", "\n\n".join(system))] if system else []
    return [*turns, Turn("user", "\n\n".join(user))]


def answer_room(context_tokens: int, max_tokens: int) -> int:
    """Tokens kept free for the answer: what it may take, but never more than a quarter of the context."""
    return min(max_tokens, context_tokens // 4)


def fit(
    request: capability_pb2.InvokeRequest,
    system_prompt: str,
    count: Callable[[Sequence[Turn]], int],
    *,
    limit: int,
    context_tokens: int,
) -> list[Turn]:
    """The chat, of at most `limit` tokens as `count` has them.

    Earlier work gives way first, the oldest before the newer: whole, or all but its end. PromptTooLongError when
    the request does not fit without any.
    """

    def with_work(context: Sequence[capability_pb2.Context]) -> list[Turn]:
        return turns_of(request, system_prompt, context)

    context = list(request.context)
    tokens = count(with_work(context))
    while context and tokens > limit:
        oldest = context.pop(0)
        tokens = count(with_work(context))
        if limit - tokens >= _WORTH_KEEPING:
            shortened = _end_that_fits(oldest, lambda kept: count(with_work([kept, *context])) <= limit)
            return with_work([shortened, *context] if shortened else context)
    if tokens > limit:
        raise PromptTooLongError(tokens, limit, context_tokens)
    return with_work(context)


def _end_that_fits(item: capability_pb2.Context, fits: Fits) -> capability_pb2.Context | None:
    """The longest end of the item's text that fits, found by bisection; None when hardly anything does."""

    def cut(length: int) -> capability_pb2.Context:
        text = _MARK + item.text[len(item.text) - length :]
        return capability_pb2.Context(step=item.step, role=item.role, text=text)

    low, high = 0, len(item.text)
    while high - low > max(16, len(item.text) // 64):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(cut(middle)) else (low, middle)
    return cut(low) if low >= _WORTH_KEEPING and fits(cut(low)) else None
