"""Frames in every shape that the relay was seen to send, and in some that nobody should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hs_notebook.errors import EmptyAnswerError, ProtocolError, UpstreamError
from hs_notebook.types import (
    ChatCompletionChunk,
    CompletionTokensDetails,
    FunctionCall,
    Model,
    PromptTokensDetails,
    ToolCall,
    Usage,
)
from hs_notebook.wire.chunks import decode_chunk, decode_completion, decode_models, error_text
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.sse import ServerSentEvent

DELTA = {"content": "hi"}


def decoded(frame: object) -> ChatCompletionChunk:
    return decode_chunk(json.dumps(frame))


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [fields]}


TEXTS = {
    "OpenAI's": ({"id": "1", "choices": [{"index": 0, "delta": DELTA, "finish_reason": None}]}, "hi"),
    "nothing but the delta": (choice(delta=DELTA), "hi"),
    "index null": (choice(index=None, delta=DELTA), "hi"),
    "message for delta": (choice(index=0, message=DELTA), "hi"),
    "message beside an empty delta": (choice(delta={}, message=DELTA, finish_reason="stop"), "hi"),
    "message beside delta null": (choice(delta=None, message=DELTA), "hi"),
    "a whole completion": (choice(message={"role": "assistant", **DELTA}, finish_reason="stop"), "hi"),
    "unknown fields": ({"x": 1, "choices": [{"delta": {**DELTA, "y": 2}, "logprobs": None}]}, "hi"),
    "other fields of a wrong type": ({"id": 5, "created": "now", "model": None, **choice(delta=DELTA)}, "hi"),
    "error null": ({"error": None, **choice(delta=DELTA)}, "hi"),
    "the word error in the text": (choice(delta={"content": 'an "error" here'}), 'an "error" here'),
    "Responses": ({"type": "response.output_text.delta", "delta": "hi"}, "hi"),
    "in parts": (
        choice(delta={"content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}),
        "hi",
    ),
    "in parts of several kinds": (
        choice(delta={"content": ["h", {"type": "reference", "ids": [1]}, "i", 5]}),
        "hi",
    ),
}
SILENT = {
    "delta null": choice(delta=None),
    "delta null at the end": choice(delta=None, finish_reason="stop"),
    "content null": choice(delta={"content": None}),
    "content of a wrong type": choice(delta={"content": 5}),
    "no choices": {"id": "1", "choices": []},
    "choices null": {"id": "1", "choices": None},
    "choices missing": {"id": "1"},
    "choices empty, and a name we do not know": {"choices": [], "prompt_filter_results": [{}]},
    "a code that says all is well": {"code": 200, "message": "success"},
    "a ping": {"type": "ping", "time": 7},
    "choices of wrong things": {"choices": [None, 1, "x", []]},
    "nothing": {},
    "Responses, something else": {"type": "response.in_progress", "response": {"id": "r"}},
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str) -> None:
    frame, text = TEXTS[name]
    chunk = decoded(frame)
    assert [(choice.index, choice.delta.content) for choice in chunk.choices] == [(0, text)]


@pytest.mark.parametrize("name", SILENT)
def test_silence(name: str) -> None:
    assert not any(choice.delta.content for choice in decoded(SILENT[name]).choices)


def test_every_field_of_a_frame() -> None:
    chunk = decoded(
        {
            "id": "c1",
            "created": 17,
            "model": "gpt-4.1",
            "system_fingerprint": "fp",
            "choices": [
                {"index": 2, "delta": {"role": "assistant", "reasoning_content": "hm", "refusal": "no"}}
            ],
        }
    )
    assert (chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) == ("c1", 17, "gpt-4.1", "fp")
    (only,) = chunk.choices
    assert (only.index, only.delta.role) == (2, "assistant")
    assert (only.delta.content, only.delta.reasoning_content, only.delta.refusal) == (None, "hm", "no")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "error"])
def test_finish_reason(reason: str) -> None:
    for written in (reason, reason.upper()):
        chunk = decoded(choice(delta={}, finish_reason=written))
        assert [choice.finish_reason for choice in chunk.choices] == [reason]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("MAX_TOKENS", "length"),
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("something_new", "something_new"),
    ],
)
def test_finish_reasons_of_others(written: str, reason: str) -> None:
    (found,) = decoded(choice(delta={}, finish_reason=written)).choices
    assert found.finish_reason == reason


def test_responses_end() -> None:
    response = {
        "id": "r",
        "model": "gpt-5.5",
        "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
    }
    chunk = decoded({"type": "response.completed", "response": response})
    assert (chunk.id, chunk.model, chunk.choices[0].finish_reason) == ("r", "gpt-5.5", "stop")
    assert chunk.usage == Usage(prompt_tokens=3, completion_tokens=5, total_tokens=8)
    for reason, ours in (
        (None, "length"),
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
    ):
        details = {"incomplete_details": reason and {"reason": reason}}
        cut = decoded({"type": "response.incomplete", "response": details})
        assert cut.choices[0].finish_reason == ours


def test_responses_texts() -> None:
    refused = decoded({"type": "response.refusal.delta", "delta": "no"})
    thought = decoded({"type": "response.reasoning_summary_text.delta", "delta": "hm"})
    assert (refused.choices[0].delta.refusal, thought.choices[0].delta.reasoning_content) == ("no", "hm")


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


@pytest.mark.parametrize(
    "frame",
    [
        {"choices": [], "usage": USAGE},
        {"choices": None, "usage": USAGE},
        {"usage": {**USAGE, "prompt_tokens": 3.0, "unknown": {}}},
        {"usage": USAGE, **choice(delta=DELTA)},
        {"usage": USAGE, **choice(delta={}, finish_reason="stop")},
    ],
)
def test_usage_on_any_frame(frame: dict[str, Any]) -> None:
    assert decoded(frame).usage == Usage(prompt_tokens=3, completion_tokens=5, total_tokens=8)


@pytest.mark.parametrize("choices", [[], None])
def test_usage_details(choices: list[Any] | None) -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    usage = decoded({"choices": choices, "usage": {**USAGE, **details}}).usage
    assert usage is not None
    assert usage.prompt_tokens_details == PromptTokensDetails(2)
    assert usage.completion_tokens_details == CompletionTokensDetails(4)


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}, (123, 5, 128)),  # Anthropic's
        ({"prompt_tokens_details": {"cached_tokens": 3}}, (3, 5, 8)),
        ({"completion_tokens_details": {"reasoning_tokens": 4}}, (3, 5, 8)),
        ({"completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 12}, (3, 9, 12)),
        ({"completion_tokens_details": {"reasoning_tokens": 40}, "total_tokens": 48}, (3, 45, 48)),
    ],
)
def test_what_is_told_beside_input_and_output_is_counted_in(
    told: dict[str, Any], tokens: tuple[int, int, int]
) -> None:
    usage = decoded({"choices": [], "usage": {**USAGE, **told}}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == tokens


def test_usage_details_of_wrong_types() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": True}, "completion_tokens_details": "none"}
    assert decoded({"usage": {**USAGE, **details}}).usage is not None


def test_tool_call_fragments() -> None:
    calls = [{"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a'}}]
    fragment = ToolCall(index=1, id="c", type="function", function=FunctionCall("f", '{"a'))
    assert decoded(choice(delta={"tool_calls": calls})).choices[0].delta.tool_calls == [fragment]
    bare = [{"function": {"arguments": 5}}, {"function": None, "id": "d"}, "x"]
    forgiven = decoded(choice(delta={"tool_calls": bare})).choices[0].delta.tool_calls
    assert forgiven == [ToolCall(index=0), ToolCall(index=1, id="d")]


ERRORS = {
    "an object": ({"error": {"message": "no room", "code": "overloaded"}}, "no room", "overloaded"),
    "an object with a number": ({"error": {"message": "no room", "code": 503}}, "no room", "503"),
    "a type alone": ({"error": {"type": "server_error"}}, "server_error", ""),
    "a text": ({"error": "no room"}, "no room", ""),
    "a top-level message": ({"message": "no room", "code": 1}, "no room", "1"),
    "a detail": ({"detail": "no room"}, "no room", ""),
    "beside choices": ({"error": {"message": "no room"}, "choices": []}, "no room", ""),
    "beside empty choices": ({"choices": [], "message": "no room", "code": 500}, "no room", "500"),
    "beside choices null": ({"choices": None, "message": "no room", "code": "x"}, "no room", "x"),
    "beside a delta": ({"error": {"message": "no room"}, **choice(delta=DELTA)}, "no room", ""),
    "Responses, failed": (
        {"type": "response.failed", "response": {"error": {"message": "no room", "code": "x"}}},
        "no room",
        "x",
    ),
    "Responses, failed for no reason": (
        {"type": "response.failed", "response": None},
        "the answer failed",
        "",
    ),
    "Responses, cancelled": ({"type": "response.cancelled", "response": {}}, "the answer was cancelled", ""),
    "Responses, an error": ({"type": "error", "message": "no room", "code": "x"}, "no room", "x"),
    "several lines": ({"error": "no\n  room\r\n"}, "no room", ""),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_frames(name: str) -> None:
    frame, message, code = ERRORS[name]
    with pytest.raises(UpstreamError) as caught:
        decoded(frame)
    assert (str(caught.value), caught.value.code) == (f"The relay reports: {message}", code)


@pytest.mark.parametrize("error", ["no\n room", {"message": "no room", "code": 5}])
def test_an_error_in_a_choice_ends_it_and_leaves_its_text(error: Any) -> None:
    frame = choice(delta=DELTA, error=error) | {"usage": USAGE}
    chunk = decoded(frame)
    (row,) = chunk.choices
    assert (row.delta.content, row.finish_reason, row.error) == (DELTA["content"], "error", "no room")
    assert chunk.usage is not None
    ending = Ending()
    assert ending.read([ServerSentEvent(json.dumps(frame))]) == [chunk]
    assert (str(ending.error), ending.is_billed) == ("The relay reports: no room", True)


@pytest.mark.parametrize("thinking", ["so", [{"type": "text", "text": "s"}, {"type": "text", "text": "o"}]])
def test_a_thought_among_the_parts(thinking: Any) -> None:
    parts = [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": "hi"}]
    (found,) = decoded(choice(delta={"content": parts})).choices
    assert (found.delta.reasoning_content, found.delta.content) == ("so", "hi")


def test_a_thought_by_its_other_name() -> None:
    (row,) = decoded(choice(delta={"content": "", "reasoning": "hm"})).choices
    assert row.delta.reasoning_content == "hm"


@pytest.mark.parametrize(
    "frame", [{"status": "finished"}, {"interrupted": False}, {"message_id": "m"}, {"preferred_model": "x"}]
)
def test_nothing_after_the_last_word_makes_an_answer_less_whole(frame: dict[str, Any]) -> None:
    ending = Ending()
    said = choice(delta=DELTA, finish_reason="stop")
    ending.read([ServerSentEvent(json.dumps(said)), ServerSentEvent(json.dumps(frame))])
    assert (ending.whole, ending.error) == (True, None)


@pytest.mark.parametrize(
    "data", ["", "{", '{"choices":[{"delta":{"content":"half', "nonsense", "[DONE", "NaN"]
)
def test_no_json(data: str) -> None:
    with pytest.raises(ProtocolError, match="no JSON"):
        decode_chunk(data)


@pytest.mark.parametrize(
    ("data", "kind"), [("[]", "list"), ("5", "int"), ('"x"', "str"), ("null", "NoneType")]
)
def test_no_object(data: str, kind: str) -> None:
    with pytest.raises(ProtocolError, match=f"a {kind} where an object belongs"):
        decode_chunk(data)


@pytest.mark.parametrize(
    "data",
    [
        '{"errors":[{"message":"no room"}]}',
        '{"error_code":500,"error_msg":"no room"}',
        '{"success":false,"msg":"no room"}',
        '{"status":"error","reason":"no room"}',
        '{"detail":[{"msg":"no room"}]}',
        '{"type":"message_start","message":{"id":"m"}}',
        '{"type":["ping"]}',
        '{"choices":"none"}',
        '{"choices":{"0":1}}',
    ],
)
def test_no_part_of_an_answer(data: str) -> None:
    with pytest.raises(ProtocolError, match="no part of an answer") as caught:
        decode_chunk(data)
    assert str(caught.value).endswith(f": {data}")


@pytest.mark.parametrize(
    "frame",
    [
        {"sources": [{"url": "https://e.example/"}]},
        {"citations": [], "error": None, "usage": None},
        {"id": "1", "x": 10**23},
    ],
)
def test_what_a_gateway_tells_beside_an_answer_is_left_out(frame: dict[str, Any]) -> None:
    chunk = decoded(frame)
    assert (chunk.choices, chunk.usage) == ([], None)


def test_what_is_no_part_of_an_answer_is_told_in_one_short_line() -> None:
    with pytest.raises(ProtocolError) as caught:
        decoded({"msg": "a\u2028b\x85c\n" + "y" * 9000})
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


def test_nesting_without_end() -> None:
    for data in ("[" * 100_000, '{"choices":' + "[" * 100_000):
        with pytest.raises(ProtocolError):
            decode_chunk(data)


def test_whole_completion() -> None:
    body = {
        "id": "c",
        "model": "m",
        "choices": [
            {"message": {"content": "a", "tool_calls": [{"id": "t"}]}, "finish_reason": "stop"},
            {"index": 1},
        ],
        "usage": USAGE,
    }
    completion = decode_completion(json.dumps(body).encode())
    first, second = completion.choices
    assert (completion.id, completion.model, first.message.content, first.finish_reason) == (
        "c",
        "m",
        "a",
        "stop",
    )
    assert first.message.tool_calls == [ToolCall(id="t")]
    assert (second.index, second.message.content) == (1, None)
    assert completion.usage is not None


def test_a_whole_completion_that_is_no_utf_8() -> None:
    completion = decode_completion(b'{"choices": [{"message": {"content": "a\xff\xc3b"}}]}')
    assert completion.choices[0].message.content == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", EmptyAnswerError, "empty"),
        (b" \n", EmptyAnswerError, "empty"),
        (b"<html>", ProtocolError, "no JSON"),
        (b"\xff", ProtocolError, "no JSON"),
        (b"{}", ProtocolError, "no choices. It says: {}"),
        (b'{"data": 1}', ProtocolError, 'no choices. It says: {"data":1}'),
        (b'{"success":false,"msg":"no room"}', ProtocolError, "no choices. It says: .*no room"),
        (b'{"error": "no room"}', UpstreamError, "no room"),
    ],
)
def test_no_completion(body: bytes, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        decode_completion(body)


def test_models() -> None:
    rows = [{"id": "a", "owned_by": "x", "created": 5}, {"id": "b", "owned_by": None}, {"id": 7}, "c"]
    assert decode_models(json.dumps({"data": rows}).encode()) == [Model("a", "x", 5), Model("b")]
    with pytest.raises(ProtocolError, match=r"lists no models\. It says: .*no room"):
        decode_models(b'{"success": false, "msg": "no room"}')
    with pytest.raises(UpstreamError):
        decode_models(b'{"error": "no"}')


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"message": "hi", "choices": []}, {"message": {"content": ""}}]
)
def test_no_error(body: object) -> None:
    assert error_text(body) == ""
