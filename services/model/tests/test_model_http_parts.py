"""Parts of the HTTP endpoints by themselves: tool calls in text, streams that nobody reads, several answers."""

import asyncio
import ctypes
from collections.abc import AsyncGenerator, Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llama_cpp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost_model.chat import ChatTemplate
from milepost_model.http import stream
from milepost_model.http.answers import merged
from milepost_model.http.conversation import turns_of
from milepost_model.http.parameters import Message, Tool
from milepost_model.http.stream import EventStream
from milepost_model.http.tools import Arguments, CallBegun, Content, ToolCallReader, add_call, add_text_before, written
from milepost_model.json_schema import Grammar
from milepost_model.requests import Turn
from milepost_model.weights import Weights
from milepost_service.errors import InvalidArgumentError
from milepost_service.models import default_cache_dir, ensure_model
from milepost_service.resource import load_model_service

pytestmark = pytest.mark.requirement("MOD-2")

PARAMETERS = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool.model_validate(
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"} | PARAMETERS}}
)
CALL = written("weather", '{"city":"Paris"}')


@pytest.fixture(scope="module")
def weights(smollm2_file: Path) -> Iterator[Weights]:
    spec = load_model_service(smollm2_file, engine="llamaCpp").spec.llama_cpp
    assert spec is not None
    weights = Weights(ensure_model(spec, default_cache_dir()))
    yield weights
    weights.close()


def allowed(weights: Weights, grammar: str, text: str) -> tuple[str, bool]:
    """How much of the text llama.cpp lets a model write, and whether it may end there."""
    sampler = llama_cpp.llama_sampler_init_grammar(weights.vocabulary, grammar.encode(), b"root")
    try:
        written_so_far = ""
        for token in weights.tokens_of(text, begin=False, control=False):
            if not _may(sampler, token):
                return written_so_far, False
            llama_cpp.llama_sampler_accept(sampler, token)
            written_so_far += weights.bytes_of(token).decode()
        return written_so_far, _may(sampler, llama_cpp.llama_vocab_eos(weights.vocabulary))
    finally:
        llama_cpp.llama_sampler_free(sampler)


def _may(sampler: Any, token: int) -> bool:
    data = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(id=token, logit=0.0, p=0.0))
    array = llama_cpp.llama_token_data_array(data=data, size=1, selected=-1, sorted=False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return bool(np.isfinite(data[0].logit))


@pytest.mark.models
@pytest.mark.parametrize(
    "text", ["Hi.", "", "a < b, <b>bold</b> & <<tool", "<tool_call", "<<tool_call\n", CALL, f"Let me see <\n{CALL}"]
)
def test_with_a_free_choice_a_model_may_write_any_text_and_then_a_call(weights: Weights, text: str) -> None:
    grammar = Grammar()
    free = grammar.text(add_text_before(grammar, add_call(grammar, [WEATHER])))
    assert allowed(weights, free, text) == (text, True)


@pytest.mark.models
@pytest.mark.parametrize(
    "text", ["<tool_call>x", f"{CALL} more", f"a{CALL[:-3]}", "<<tool_call>x", CALL.replace("city", "town")]
)
def test_behind_the_tag_it_must_write_a_whole_call(weights: Weights, text: str) -> None:
    grammar = Grammar()
    free = grammar.text(add_text_before(grammar, add_call(grammar, [WEATHER])))
    _, may_end = allowed(weights, free, text)
    assert not may_end


TEXTS = ["", "Hi.", CALL, f"So: {CALL}", CALL[:-1], CALL[:30], "a <tool_call> b", written("a", '{"b":{"c":{}}}')]


@given(st.sampled_from(TEXTS), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_however_a_text_comes_the_same_content_and_call_are_read(text: str, sizes: list[int]) -> None:
    reader, events, rest = ToolCallReader(), [], text
    for size in sizes:
        events += reader.push(rest[:size])
        rest = rest[size:]
    events += reader.push(rest) + reader.finish()
    content = "".join(event.text for event in events if isinstance(event, Content))
    names = [event.name for event in events if isinstance(event, CallBegun)]
    arguments = "".join(event.text for event in events if isinstance(event, Arguments))
    assert reader.is_whole == text.endswith("</tool_call>")
    if reader.is_whole:
        (name,) = names
        assert content + written(name, arguments) == text
    else:
        assert text.startswith(content + (written(names[0], arguments)[: -len("}\n</tool_call>")] if names else ""))


def test_calls_and_their_results_are_turns_that_every_template_knows() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        {"role": "tool", "tool_call_id": "c", "content": "Sunny."},
        {"role": "tool", "tool_call_id": "c", "content": "Warm."},
    ]
    turns = turns_of([Message.model_validate(each) for each in messages], [WEATHER], is_required=False)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[0].content.startswith("Be\nbrief.\n\nYou have these functions:")
    assert turns[2].content == f"{CALL}\n{CALL}"
    assert turns[3].content.index("Sunny.") < turns[3].content.index("Warm.")


def test_a_chat_that_the_template_refuses_is_a_wrong_request() -> None:
    template = "{% if messages[1:] %}{{ raise_exception('one turn only') }}{% endif %}{{ messages[0].content }}"
    weights: Any = SimpleNamespace(
        name="m.gguf",
        chat_template=template,
        begin_text="",
        end_text="",
        control_texts=(),
        tokens_of=lambda text, **_: text,
    )
    chat = ChatTemplate(weights)
    assert chat.tokens_of([Turn("system", "Be brief."), Turn("user", "Hi.")]) == "Be brief.\n\nHi."
    with pytest.raises(
        InvalidArgumentError, match=r"^messages: the chat template of m\.gguf refuses them \(one turn only"
    ):
        chat.tokens_of([Turn("user", "Hi."), Turn("user", "Ho.")])


async def counted(taken: list[int]) -> AsyncGenerator[dict[str, Any], None]:
    try:
        for number in range(1000):
            taken.append(number)
            yield {"number": number}
    finally:
        taken.append(-1)


async def never(_: MutableMapping[str, Any] | None = None) -> Any:
    await asyncio.Event().wait()


async def test_nothing_is_made_for_a_client_that_takes_nothing_and_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "STALL_SECONDS", 0.05)
    taken: list[int] = []
    begun = await stream.begun(counted(taken))

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await never()

    await asyncio.wait_for(begun({"type": "http"}, never, send), 30)
    assert taken == [0, -1]


async def test_a_client_that_goes_ends_the_source_of_its_stream() -> None:
    taken: list[int] = []
    begun: EventStream = await stream.begun(counted(taken))
    sent: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 3:
            await never()

    async def receive() -> MutableMapping[str, Any]:
        while len(sent) < 3:
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    await asyncio.wait_for(begun({"type": "http"}, receive, send), 30)
    assert sent[1:] == [b'data: {"number":0}\n\n', b'data: {"number":1}\n\n']
    assert taken == [0, 1, -1]


async def test_what_fails_before_the_first_chunk_has_no_stream() -> None:
    async def failing() -> AsyncGenerator[dict[str, Any], None]:
        raise ValueError("at once")
        yield {}

    with pytest.raises(ValueError, match="at once"):
        await stream.begun(failing())


async def test_several_sources_are_taken_as_they_come_and_closed_together() -> None:
    first, second = list[int](), list[int]()
    async for item in merged([counted(first), counted(second)]):
        if item["number"] == 5:
            break
    merging = merged([counted(first), counted(second)])
    await anext(merging)
    await merging.aclose()
    assert first[-1] == second[-1] == -1
