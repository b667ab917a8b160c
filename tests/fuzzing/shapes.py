"""What the targets are given by hypothesis: bytes that are nearly right, and wrong anywhere."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            -1,
            1,
            1.5,
            -0.5,
            1e308,
            2**63,
            2**70,
            -(2**70),
            10**400,
            "",
            "a",
            "stop",
            "0",
            "\0",
            "é😀",
            "\u2028",
            "error",
            "length",
            "x" * 300,
            [],
            {},
            [[]],
            [{}],
            {"a": None},
        ]
    ),
    st.floats(allow_nan=False),
    st.text(max_size=5),
)
JSON = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A dictionary with any of these fields, each as it should be or as anything."""
    return st.fixed_dictionaries({}, optional={name: value | ODD for name, value in fields.items()})


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


COUNT = st.integers(0, 10**6)
CALLS = st.lists(
    some(index=st.integers(0, 3), id=st.text(max_size=3), type=st.just("function"))
    | some(function=some(name=st.text(max_size=3), arguments=st.text(max_size=3))),
    max_size=2,
)
DELTA = some(
    content=st.sampled_from(["one ", "zwölf €😀", "[DONE]", "data: x\n\n"]), role=st.just("assistant"),
    reasoning_content=st.text(max_size=5), refusal=st.text(max_size=5), tool_calls=CALLS,
)  # fmt: skip
USAGE = some(
    prompt_tokens=COUNT, completion_tokens=COUNT, total_tokens=COUNT, prompt_cache_hit_tokens=COUNT,
    input_tokens=COUNT, output_tokens=COUNT, reasoning_tokens=COUNT,
    prompt_tokens_details=some(cached_tokens=COUNT, cache_creation_tokens=COUNT),
    completion_tokens_details=some(reasoning_tokens=COUNT),
)  # fmt: skip
REASON = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error", "", None])
CHOICE = some(index=st.integers(0, 2), delta=DELTA, message=DELTA, finish_reason=REASON)
CHOICES = st.lists(CHOICE, max_size=3)
FRAME = st.one_of(
    some(id=st.just("c1"), model=st.sampled_from(["gpt-4.1", "m1", ""]), choices=CHOICES),
    some(choices=CHOICES, usage=USAGE, system_fingerprint=st.just("simulated")),
    some(error=some(message=st.text(max_size=5), code=st.text(max_size=3)), message=st.text(max_size=5)),
    some(type=st.sampled_from(["response.output_text.delta", "response.completed"]),
         delta=st.text(max_size=5), response=some(usage=USAGE, error=some(message=st.text(max_size=5)))),
    JSON,
).map(as_json)  # fmt: skip
TEXTS = FRAME | st.sampled_from(
    [b"[DONE]", b"{", b"\xff", b"null", b'{"choices":[{"delta":{"content":"\xc3"}}]}']
)

STREAM_PIECES = [
    b"data", b"data:", b"data: ", b"event: e", b"id: 1", b"id", b"id: 2\0", b"id: ", b"retry: 10", b":", b" ",
    b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"\xef\xbb\xbf", b"\xe2\x82\xac", b"\xff", b"\0",
    b"x" * 9,
    b"data: a\n\n", b"id: 1\ndata: a\n\n", b"id: 3\r\ndata: d\n\n", b"id: 5\ndata: f\ndata: g\n\n",
]  # fmt: skip
USAGE_PIECES = [
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    b'data: {"choices": [], "usage" : {}}\r\n\r\n', b'data: {"choices":[],"usage":null}\n\n',
    b'data: {"choices":[{"delta":{}}],"usage":{}}\n\n',
    b'event: e\ndata: {"choices":[],\ndata: "usage":{}}\n\n',
    b'"usage":{', b'"choices":[]', b"}", b"data: [DONE]\n\n", b": ping\n\n",
]  # fmt: skip
PROMPT_PIECES = [
    r"{name}",
    r"{{name}}",
    r"{other}",
    r"{a}",
    r"{ü}",
    r"{rows}",
    r"{rows[0]}",
    r"{rows[0]['id']}",
    r"{rows[1].plain}",
    r"{In[1]}",
    r"{In}",
    r"{Out['id']}",
    r"{Out['no']}",
    r"{trap}",
    r"{trap.plain}",
    r"{trap.danger}",
    r"{trap.method}",
    r"{trap.method()}",
    r"{trap.no}",
    r"{trap['x']}",
    r"{trap[0]}",
    r"{trap._ran}",
    r"{_secret}",
    r"{__builtins__}",
    r"{name.__class__}",
    r"{name.upper}",
    r"{function}",
    r"{kind}",
    r"{kind.danger}",
    r"{module.sys}",
    r"{name!r}",
    r"{name:>9}",
    r"{name[0]}",
]
PROMPT_PIECES += [
    "{",
    "}",
    "{{",
    "}}",
    "{rows[0]['a b']}",
    "name",
    ".",
    "[",
    "]",
    "'",
    '"',
    "0",
    "-1",
    "\n",
    "é",
    "\\",
]
PRICE_LINES = [
    "",
    "[[price]]",
    "[seller]",
    "[[speed]]",
    'model = "m"',
    'model = "gpt-4.1"',
    'model = ""',
    'seller = "HolySheep"',
    'kind = "user"',
    'kind = "official"',
    'source = "s"',
    "effective_from = 2026-01-01",
    "checked_on = 2026-11-24",
    "effective_to = 2026-02-01",
    "effective_to = 0001-01-01",
    "effective_from = 9999-12-31",
    "retires_on = 9999-12-31",
    "retires_on = 0001-01-01",
    "checked_on = 0001-01-01",
    "input = 1",
    "input = 2.5",
    "input = -1",
    "input = nan",
    "input = inf",
    "input = 1e9",
    "input = 1e-40",
    "input = 1e999999",
    "input = 0.0",
    "output = 8.00",
    'output = "8"',
    "output = true",
    "cache_read = 0.1",
    "cache_write = 3",
    "context_over = 200000",
    "context_over = -1",
    "context_over = 99999999999999999999",
    "largest_output = 1",
    "largest_output = -1",
    'aliases = ["a"]',
    "aliases = [1]",
    "unknown = 1",
    'HolySheep = ["example.org"]',
    'x = ["api.holysheep.ai"]',
    "tokens_per_second = 1",
    "ttft = -1",
    "",
]
PRICE_LINES += ['"a\\nb" = 1', 'model = "a\\nb\\u0085c"', "x = " + "[" * 200, "=", "#", '"""', "\0"]
MESSAGES = st.lists(
    some(
        role=st.just("user"),
        content=st.text(max_size=9) | st.lists(some(type=st.just("text"), text=st.text())),
    ),
    max_size=3,
)
BODY = some(
    model=st.sampled_from(["gpt-4.1", " gpt-4.1 ", "deepseek-v3.2", "m", "", " "]), messages=MESSAGES,
    stream=st.booleans(), stream_options=some(include_usage=st.booleans()), max_tokens=COUNT,
    max_completion_tokens=COUNT, n=st.integers(1, 9), temperature=st.floats(0, 2), tools=JSON,
)  # fmt: skip


def joined(pieces: list[Any], most: int = 20) -> st.SearchStrategy[bytes]:
    as_bytes = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return st.lists(st.sampled_from(as_bytes), max_size=most).map(b"".join)


def lines(pieces: list[str], most: int = 12) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces), max_size=most).map(lambda some: "\n".join(some).encode())


def _row(usual: bool, fields: list[str]) -> str:
    named = {line.partition(" =")[0]: line for line in [*(PRICE_ROW if usual else ()), *fields]}
    return "\n".join(["[[price]]", *named.values()])


PRICE_ROW = [
    'model = "m"', 'seller = "HolySheep"', 'kind = "user"', 'source = "s"', "effective_from = 2026-01-01",
    "checked_on = 2026-11-24", "input = 1",
]  # fmt: skip
PRICE_FIELDS = [line for line in PRICE_LINES if " = " in line and not line.startswith("x =")]
ROWS = st.lists(
    st.builds(_row, st.booleans(), st.lists(st.sampled_from(PRICE_FIELDS), max_size=6)), max_size=3
)
SELLERS = st.sampled_from(["", '[seller]\nHolySheep = ["example.org"]', '[seller]\nX = ["API.holysheep.ai"]'])
PRICE_FILE = st.tuples(SELLERS, ROWS).map(lambda both: "\n".join([both[0], *both[1]]).encode())


def behind(first: st.SearchStrategy[bytes], rest: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(first, rest).map(b"".join)


def damaged(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The same, at times with a byte of it changed."""
    harm = st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 255))
    return st.tuples(data, harm).map(lambda both: _harmed(*both))


def _harmed(data: bytes, harm: tuple[int, int] | None) -> bytes:
    if harm is None or not data:
        return data
    place = harm[0] % len(data)
    return data[:place] + bytes([harm[1]]) + data[place + 1 :]


ANY_BYTE = st.binary(min_size=1, max_size=1)
FRAMES = st.lists(TEXTS, max_size=6)
STREAM = FRAMES.map(lambda frames: b"".join(b"data: %b\n\n" % frame for frame in frames))
SHAPES: dict[str, st.SearchStrategy[bytes]] = {
    "decoder": behind(ANY_BYTE, st.binary(max_size=200) | joined(STREAM_PIECES, 40)),
    "assembler": damaged(FRAMES.map(b"\n".join)),
    "whole": damaged(behind(st.just(b"j"), FRAME) | behind(st.just(b"s"), STREAM)),
    "interpolation": damaged(joined(PROMPT_PIECES)),
    "prices": damaged(PRICE_FILE | lines(PRICE_LINES)),
    "requests": damaged(BODY.map(as_json)),
    "filters": behind(ANY_BYTE, damaged(joined([*STREAM_PIECES, *USAGE_PIECES]))),
}
