"""What the simulated relay says: frames, text, tokens and usage."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.relay import EmbeddedRelay, Simulation
from hs_notebook.relay.simulation.article import quote, tokenize, write
from hs_notebook.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = "/chat/completions"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with (
        EmbeddedRelay(Simulation(speed=math.inf)) as relay,
        httpx.Client(base_url=relay.base_url, headers={"x-api-key": "any"}, trust_env=False) as running,
    ):
        yield running


def ask(client: httpx.Client, text: Any, model: str = "gpt-4.1", **fields: Any) -> httpx.Response:
    reply = client.post(
        CHAT, json={"model": model, "messages": [{"role": "user", "content": text}], **fields}
    )
    assert reply.status_code == 200, reply.text
    return reply


def frames(reply: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that ends as it should."""
    *events, last = SSEDecoder().feed(reply.content)
    assert last.data == "[DONE]"
    return [json.loads(event.data) for event in events]


def pieces(chunks: list[dict[str, Any]]) -> list[str]:
    deltas = (choice["delta"] for chunk in chunks for choice in chunk["choices"])
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_a_stream_is_shaped_as_openai_shapes_it(client: httpx.Client) -> None:
    reply = ask(client, "Why?", stream=True)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"].startswith("req_")
    first, *middle, last = frames(reply)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(set(chunk["choices"][0]["delta"]) == {"content"} for chunk in middle)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in [first, *middle])
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    for chunk in [first, *middle, last]:
        assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", "gpt-4.1")
        assert (chunk["system_fingerprint"], chunk["id"]) == ("simulated", first["id"])
        assert "usage" not in chunk


def test_a_reply_without_stream_is_one_completion(client: httpx.Client) -> None:
    reply = ask(client, "Why?")
    assert reply.headers["content-type"] == "application/json"
    content = reply.json()
    assert (content["object"], content["system_fingerprint"]) == ("chat.completion", "simulated")
    (choice,) = content["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "".join(pieces(frames(ask(client, "Why?", stream=True)))),
    }
    assert choice["finish_reason"] == "stop"
    assert set(content["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_usage_comes_last_and_only_where_asked_for(client: httpx.Client) -> None:
    *others, last = frames(ask(client, "Why?", stream=True, stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == len(pieces(others))
    assert (
        last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    )
    assert all(chunk["usage"] is None for chunk in others)
    assert last["usage"] == ask(client, "Why?").json()["usage"]


def test_prompt_tokens_grow_with_the_prompt_and_with_images(client: httpx.Client) -> None:
    def prompt_tokens(content: Any) -> int:
        return ask(client, content).json()["usage"]["prompt_tokens"]

    text = {"type": "text", "text": "one two three four"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert prompt_tokens([text]) == prompt_tokens("one two three four")
    assert prompt_tokens("one two three four " * 10) > 5 * prompt_tokens("one two three four") - 20
    assert prompt_tokens([text, image]) == prompt_tokens([text]) + 85


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [True, False])
def test_max_tokens_cuts_and_says_so(client: httpx.Client, field: str, stream: bool) -> None:
    reply = ask(client, "Why?", stream=stream, **{field: 12})
    if stream:
        chunks = frames(reply)
        assert len(pieces(chunks)) == 12
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    else:
        content = reply.json()
        assert content["usage"]["completion_tokens"] == 12
        assert content["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(("limit", "reason"), [(29, "length"), (30, "stop"), (31, "stop")])
def test_an_answer_that_just_fits_is_not_cut(client: httpx.Client, limit: int, reason: str) -> None:
    chunks = frames(ask(client, "[simulate tokens=30]", stream=True, max_tokens=limit))
    assert len(pieces(chunks)) == min(limit, 30)
    assert chunks[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("tokens", [0, 1, 2, 500, 20_000])
def test_an_answer_has_as_many_tokens_as_the_directive_says(client: httpx.Client, tokens: int) -> None:
    found = pieces(frames(ask(client, f"Go on [simulate tokens={tokens}]", stream=True)))
    assert len(found) == tokens
    if tokens >= 500:
        assert 3 < len("".join(found)) / tokens < 5


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "\n  leading and trailing \n\n",
        "ha ha ha ha",  # equal deltas in a row are legal
        "<script>alert(1)</script> ![x](http://e/x.png) [simulate tokens=3]",
        "data: not a frame\n\nevent: x\r\ndata: [DONE]\r",
        'quotes " and \\ back \x00 \x1b[31m \u2028 \u202e',
        "日本語のテキスト 👩‍👩‍👧 🇩🇪 é \ufeff",
    ],
)
def test_a_given_text_comes_back_to_the_letter(client: httpx.Client, text: str) -> None:
    prompt = f"Say this:\n[simulate text]\n{text}"
    assert "".join(pieces(frames(ask(client, prompt, stream=True)))) == text
    assert ask(client, prompt).json()["choices"][0]["message"]["content"] == text


def test_the_directive_of_the_last_user_message_counts(client: httpx.Client) -> None:
    messages = [
        {"role": "user", "content": "[simulate tokens=3]"},
        {"role": "assistant", "content": "yes"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "[simulate tokens=4]"}],
        },
        {"role": "assistant", "content": "[simulate tokens=5]"},
    ]
    reply = client.post(CHAT, json={"model": "gpt-4.1", "messages": messages})
    assert reply.json()["usage"]["completion_tokens"] == 4


def test_the_same_question_has_the_same_answer_and_another_has_another(client: httpx.Client) -> None:
    def answer(text: str, model: str = "gpt-4.1") -> str:
        return ask(client, text, model).json()["choices"][0]["message"]["content"]

    assert answer("Why?") == answer("Why?") == answer("Why?", "gpt-4-1")
    bodies = {
        answer("Why?", model).split("\n\n", 1)[1] for model in ("gpt-4.1", "gemini-2.5-pro", "deepseek-v3.2")
    }
    assert len(bodies) == 3
    assert len({answer(f"Why {n}?").split("\n\n", 1)[1] for n in range(5)}) == 5


def test_the_answer_does_not_depend_on_the_process(client: httpx.Client) -> None:
    code = (
        "from hs_notebook.relay.simulation import requests, models, answering\n"
        'body = requests.parse_body(b\'{"model":"gpt-4.1","messages":[{"role":"user","content":"Why?"}]}\')\n'
        "simulator = answering.Simulator(settings=answering.Simulation())\n"
        "directives = requests.parse_directives(body.prompt)\n"
        "print(simulator.answer(body, models.find('gpt-4.1'), directives).text, end='')"
    )
    here = ask(client, "Why?").json()["choices"][0]["message"]["content"]
    for seed in ("1", "2"):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONUTF8": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        assert (
            subprocess.check_output([sys.executable, "-c", code], env=environment, encoding="utf-8") == here
        )


def test_an_answer_says_that_it_is_simulated_and_shows_every_kind_of_text(client: httpx.Client) -> None:
    text = ask(client, "What is a stream?").json()["choices"][0]["message"]["content"]
    first = text.split("\n", 1)[0]
    assert "Simulated answer" in first
    assert "What is a stream?" in first
    marks = [
        "\n## ",
        "\n- ",
        "\n1. ",
        "\n| ",
        "\n```python\n",
        "`",
        "**",
        " *",
        "](https://",
        "\n$$\n",
        " $",
        "\n> ",
    ]
    for seed in range(40):
        article = "".join(write("What?", seed))
        assert [mark for mark in marks if mark not in article] == []
        assert 400 < len(tokenize(article)) < 900


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("  two\n\nlines\t", "two lines"),
        (
            "<b>x</b> & *y* _z_ `c` $m$ [l](u) ~s~ |",
            r"\<b\>x\</b\> \& \*y\* \_z\_ \`c\` \$m\$ [l\](u) \~s\~ \|",
        ),
        ("\x1b[31mred\x00\u202e", "[31mred"),
        ("a" * 200, "a" * 90 + "…"),
        ("", ""),
    ],
)
def test_the_prompt_is_quoted_without_its_markup(prompt: str, shown: str) -> None:
    assert quote(prompt) == shown


@given(st.text(max_size=300))
def test_tokens_join_to_their_text(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert all(tokens)
    assert max(map(len, tokens), default=0) <= 8


def test_long_answers_are_cheap_and_begin_like_short_ones() -> None:
    long, longer = write("x", 1, 1000), write("x", 1, 50_000)
    assert longer[:1000] == long
    parts = [int(line.split()[-1]) for line in "".join(longer).split("\n") if line.startswith("# Part ")]
    assert len(parts) > 10
    assert all(b == a + 1 for a, b in pairwise(parts))


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("add", "mul")]
ASKS = '[simulate text tool=add,mul,unknown arguments={"x":1,"long":"a,b"}]\nIt is 2.'


def test_a_stream_asks_for_tools_in_fragments_and_answers_when_it_has_their_results(
    client: httpx.Client,
) -> None:
    usage = {"stream_options": {"include_usage": True}}
    first, *middle, last, counts = frames(ask(client, ASKS, stream=True, tools=TOOLS, **usage))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "tool_calls")
    assert counts["usage"]["completion_tokens"] > 0
    fragments = [call for chunk in middle for call in chunk["choices"][0]["delta"]["tool_calls"]]
    heads = [call for call in fragments if "id" in call]
    assert [(call["index"], call["type"], call["function"]) for call in heads] == [
        (0, "function", {"name": "add", "arguments": ""}),
        (1, "function", {"name": "mul", "arguments": ""}),
    ]
    assert len({call["id"] for call in heads}) == 2
    for index in (0, 1):
        said = [call["function"]["arguments"] for call in fragments if call["index"] == index]
        assert "".join(said) == '{"x":1,"long":"a,b"}'
        assert len(said) > 3

    answered = [
        {"role": "user", "content": ASKS},
        {"role": "assistant", "content": None, "tool_calls": [heads[0]]},
        {"role": "tool", "tool_call_id": heads[0]["id"], "content": "2"},
    ]
    body = {"model": "gpt-4.1", "messages": answered, "tools": TOOLS, "stream": True}
    assert "".join(pieces(frames(client.post(CHAT, json=body)))) == "It is 2."
    again = {**body, "messages": [*answered, {"role": "user", "content": ASKS}]}
    assert pieces(frames(client.post(CHAT, json=again))) == []


def test_a_whole_reply_asks_for_tools(client: httpx.Client) -> None:
    (choice,) = ask(client, ASKS, tools=TOOLS).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["add", "mul"]


@pytest.mark.parametrize("tools", [None, [], [{"type": "function", "function": {"name": "other"}}]])
def test_what_is_not_offered_is_not_asked_for(tools: Any, client: httpx.Client) -> None:
    (choice,) = ask(client, ASKS, tools=tools).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "It is 2.")


def test_formats_and_images_are_taken(client: httpx.Client) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": '[simulate text]\n{"a": 1}'}, image]
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    reply = ask(client, content, response_format=schema).json()
    assert reply["choices"][0]["message"]["content"] == '{"a": 1}'
    assert reply["usage"]["prompt_tokens"] > 85


# --- structured answers --------------------------------------------------------------------------

TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 40},
        "kind": {"enum": ["leaf", "node"]},
        "size": {"type": "integer", "minimum": 3, "maximum": 5},
        "weight": {"type": "number", "minimum": -1, "exclusiveMaximum": 2},
        "old": {"type": ["boolean", "null"]},
        "root": {"const": 7},
        "above": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Part"}]},
        "below": {"type": "array", "items": {"$ref": "#"}, "minItems": 0, "maxItems": 1},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
    "$defs": {"Part": {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 0}}}},
}


@pytest.mark.parametrize("number", range(20))
def test_an_answer_fits_the_schema_that_was_sent(number: int, client: httpx.Client) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "tree", "schema": TREE, "strict": True}}
    reply = ask(client, f"Grow number {number}.", response_format=format_)
    jsonschema.validate(json.loads(reply.json()["choices"][0]["message"]["content"]), TREE)


def test_an_answer_is_json_where_json_was_asked_for(client: httpx.Client) -> None:
    reply = ask(client, "JSON, please.", response_format={"type": "json_object"})
    assert json.loads(reply.json()["choices"][0]["message"]["content"])["simulated"] is True
    text = ask(client, "[simulate text]\n{}", response_format={"type": "json_object"})
    assert text.json()["choices"][0]["message"]["content"] == "{}"
