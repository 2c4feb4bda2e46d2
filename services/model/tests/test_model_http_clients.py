"""OpenAI's own client and LangChain's against the model process, both as they come."""

import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Literal

import httpx
import jsonschema
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field, SecretStr

from milepost_service.testing import ServiceProcess

pytestmark = [pytest.mark.models, pytest.mark.requirement("MOD-2")]

MODEL = "smollm2"
STORY: Any = [{"role": "user", "content": "Tell a long story."}]
ASKED: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a city.", "parameters": PARAMETERS},
}
CLOCK: Any = {"type": "function", "function": {"name": "get_time", "description": "What time it is."}}


class Judgement(BaseModel):
    """An answer of a known shape."""

    verdict: Literal["good", "bad"]
    points: list[Literal[1, 2, 3]] = Field(max_length=2)


@pytest.fixture
def base_url(model_service: ServiceProcess, model_address: str) -> str:
    return f"http://{model_address}/v1"


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60) as opened:
        yield opened


@pytest.fixture
async def langchain(base_url: str) -> AsyncIterator[Callable[..., ChatOpenAI]]:
    """Makes chat models that leave no connection behind."""
    async with httpx.AsyncClient(timeout=60) as connections:
        yield partial(
            ChatOpenAI,
            base_url=base_url,
            api_key=SecretStr("none"),
            model=MODEL,
            max_retries=0,
            http_async_client=connections,
        )


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "milepost"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_a_chat_is_answered_with_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=STORY, max_completion_tokens=12)
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12 > 22


def test_a_stream_tells_the_role_then_text_then_why_it_ended_then_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=STORY, max_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    first, *middle, end, last = list(stream)
    assert first.choices[0].delta.role == "assistant"
    assert len(middle) > 1
    assert all(chunk.choices[0].delta.content for chunk in middle)
    assert all(chunk.usage is None for chunk in (first, *middle, end))
    assert end.choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 12


def test_a_stream_without_the_option_has_no_usage(client: openai.OpenAI) -> None:
    *_, last = client.chat.completions.create(model=MODEL, messages=STORY, max_tokens=2, stream=True)
    assert (last.usage, last.choices[0].finish_reason) == (None, "length")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_call_that_must_be_made_is_one_of_a_tool_with_arguments_of_its_schema(
    client: openai.OpenAI, choice: Any
) -> None:
    tools = [WEATHER] if choice == "required" else [CLOCK, WEATHER]
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, tools=tools, tool_choice=choice)
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    assert message.content is None
    (call,) = message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)
    history = [*ASKED, message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 20 degrees."}]
    reply = client.chat.completions.create(model=MODEL, messages=history, tools=tools, tool_choice="none", max_tokens=8)
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert answer.usage is not None
    assert reply.usage.prompt_tokens > 40, "the call and its result are in the prompt"


def test_a_streamed_call_tells_its_name_then_its_arguments_in_pieces(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=[WEATHER], tool_choice="required", stream=True
    )
    choices = [chunk.choices[0] for chunk in stream]
    assert choices[-1].finish_reason == "tool_calls"
    deltas = [delta for choice in choices for delta in choice.delta.tool_calls or []]
    functions = [delta.function for delta in deltas if delta.function]
    assert [(delta.index, bool(delta.id)) for delta in deltas[:2]] == [(0, True), (0, False)]
    assert [function.name for function in functions if function.name] == ["get_weather"]
    arguments = [function.arguments or "" for function in functions]
    assert len(arguments) > 3
    jsonschema.validate(json.loads("".join(arguments)), PARAMETERS)


def test_a_tool_without_parameters_is_called_without_arguments(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, tools=[CLOCK], tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_time", "{}")


def test_with_a_free_choice_the_answer_is_text_or_a_call(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=STORY, tools=[WEATHER], max_tokens=8)
    (choice,) = answer.choices
    assert (choice.message.tool_calls, choice.finish_reason) == (None, "length")
    assert choice.message.content


def test_an_answer_is_parsed_into_the_model_that_was_asked_for(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model=MODEL, messages=STORY, response_format=Judgement, max_tokens=60)
    assert isinstance(answer.choices[0].message.parsed, Judgement)


def test_a_json_object_is_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Give the name and age of Bob, who is 30, as JSON."}],
        response_format={"type": "json_object"},
        max_tokens=100,
    )
    text = answer.choices[0].message.content or ""
    assert text.startswith("{")
    assert answer.choices[0].finish_reason == "length" or isinstance(json.loads(text), dict)


def test_several_answers_are_made_each_with_a_seed_of_its_own(client: openai.OpenAI) -> None:
    def texts(seed: int) -> list[str | None]:
        answer = client.chat.completions.create(
            model=MODEL, messages=STORY, n=3, max_tokens=6, temperature=1.5, seed=seed
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 18
        return [choice.message.content for choice in answer.choices]

    first = texts(7)
    assert len(set(first)) > 1
    assert texts(2**40) != first


def test_log_probabilities_are_of_the_tokens_of_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=STORY, max_tokens=6, logprobs=True, top_logprobs=2)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert bytes(byte for token in told.content for byte in token.bytes or []).decode() == (
        answer.choices[0].message.content
    )
    for token in told.content:
        assert token.logprob == token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
    stream = client.chat.completions.create(model=MODEL, messages=STORY, max_tokens=6, logprobs=True, stream=True)
    streamed = [chunk.choices[0].logprobs for chunk in stream]
    assert sum(len(each.content or []) for each in streamed if each) == 6


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=STORY, stop=[" ", "\n"], max_tokens=40)
    assert answer.choices[0].finish_reason == "stop"
    assert not set(answer.choices[0].message.content or "") & {" ", "\n"}


def test_a_text_is_gone_on_with(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt=["The capital of France is", "One two three"], max_tokens=4, logprobs=1
    )
    first, second = answer.choices
    assert first.text.startswith(" Paris")
    assert (first.index, second.index, second.finish_reason) == (0, 1, "length")
    assert first.logprobs is not None
    assert "".join(first.logprobs.tokens or []) == first.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    pieces = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=4, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces).startswith(" Paris")


def test_embeddings_are_the_same_as_numbers_and_packed(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input=["hello", "hi there"])
    numbers = client.embeddings.create(model=MODEL, input="hi there", encoding_format="float")
    assert len(packed.data) == 2
    assert packed.usage.prompt_tokens > numbers.usage.prompt_tokens > 0
    assert packed.data[1].embedding == pytest.approx(numbers.data[0].embedding, abs=1e-3)
    assert math.isclose(sum(value**2 for value in packed.data[0].embedding), 1, rel_tol=1e-3)


WRONG: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str, str, str]] = {
    "temperature": ({"temperature": -1}, openai.BadRequestError, "temperature", "invalid_value", "greater than or eq"),
    "unknown model": ({"model": "gpt"}, openai.NotFoundError, "model", "model_not_found", "allowed: smollm2"),
    "no messages": ({"messages": []}, openai.BadRequestError, "messages", "invalid_value", "at least 1 item"),
    "too many tokens": (
        {"messages": [{"role": "user", "content": "word " * 3000}]},
        openai.BadRequestError,
        "messages",
        "context_length_exceeded",
        "tokens; allowed: 2032",
    ),
    "too many bytes": (
        {"messages": [{"role": "user", "content": "word " * 30_000}]},
        openai.BadRequestError,
        "messages",
        "context_length_exceeded",
        "150000 bytes; allowed: at most 65536",
    ),
    "unknown parameter": (
        {"extra_body": {"top_k": 1}},
        openai.BadRequestError,
        "top_k",
        "unsupported_parameter",
        "top_k: is not supported",
    ),
    "1,000 tools": (
        {"tools": [{"type": "function", "function": {"name": f"t{number}"}} for number in range(1000)]},
        openai.BadRequestError,
        "tools",
        "invalid_value",
        "at most 128 items",
    ),
    "a tool that is not there": (
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        openai.BadRequestError,
        "tool_choice",
        "invalid_value",
        "'x' is none of the tools",
    ),
    "arguments that cannot be held": (
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"properties": {"b": False}}}}]},
        openai.BadRequestError,
        "tools",
        "invalid_value",
        "tools[0].function.parameters.properties.b: cannot be satisfied",
    ),
    "a schema that cannot be satisfied": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": []}}}},
        openai.BadRequestError,
        "response_format",
        "invalid_value",
        "cannot be satisfied",
    ),
    "an endless schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#"}}}},
        openai.BadRequestError,
        "response_format",
        "invalid_value",
        "llama.cpp cannot follow it",
    ),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        openai.BadRequestError,
        "messages[0].content",
        "invalid_value",
        "'image_url'; allowed: text",
    ),
    "too many answers": ({"n": 9}, openai.BadRequestError, "n", "invalid_value", "less than or equal to 8"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, case: str) -> None:
    asked, error, param, code, words = WRONG[case]
    with pytest.raises(error) as refused:
        client.chat.completions.create(**{"model": MODEL, "messages": ASKED} | asked)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"
    assert words in str(refused.value)


async def test_langchain_chats_streams_and_counts(langchain: Callable[..., ChatOpenAI]) -> None:
    model = langchain(max_completion_tokens=8, stream_usage=True)
    answer = await model.ainvoke("Name three colours.")
    assert answer.content
    assert answer.response_metadata["finish_reason"] == "length"
    chunks = [chunk async for chunk in model.astream("Name three colours.")]
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    used = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert [each["output_tokens"] for each in used] == [8]


async def test_langchain_calls_tools_and_hands_their_results_back(langchain: Callable[..., ChatOpenAI]) -> None:
    bound = langchain(max_completion_tokens=60).bind_tools([WEATHER], tool_choice="required")
    question = HumanMessage("What is the weather in Paris?")
    answer = await bound.ainvoke([question])
    assert isinstance(answer, AIMessage)
    (call,) = answer.tool_calls
    assert call["name"] == "get_weather"
    jsonschema.validate(call["args"], PARAMETERS)
    result = ToolMessage("Sunny.", tool_call_id=call["id"])
    reply = await langchain(max_completion_tokens=8).ainvoke([question, answer, result])
    assert reply.content
    streamed = [chunk async for chunk in bound.astream([question])]
    whole = streamed[0]
    for chunk in streamed[1:]:
        whole += chunk
    assert [each["name"] for each in whole.tool_calls] == ["get_weather"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_langchain_gets_structured_output(langchain: Callable[..., ChatOpenAI], method: Any) -> None:
    model = langchain(max_completion_tokens=60).with_structured_output(Judgement, method=method)
    assert isinstance(await model.ainvoke("Judge this: the work is done."), Judgement)


async def test_langchain_sees_errors_as_openais(langchain: Callable[..., ChatOpenAI]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await langchain().ainvoke("word " * 3000)
    assert refused.value.code == "context_length_exceeded"


async def test_langchain_embeds(base_url: str) -> None:
    async with httpx.AsyncClient(timeout=60) as connections:
        embeddings = OpenAIEmbeddings(
            base_url=base_url,
            api_key=SecretStr("none"),
            model=MODEL,
            check_embedding_ctx_length=False,
            http_async_client=connections,
        )
        vectors = await embeddings.aembed_documents(["hello", "hi there"])
    assert [len(vector) for vector in vectors] == [576, 576]
